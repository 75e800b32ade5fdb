package webhook

import (
	"slices"
	"strings"
)

// maxAnswer is how much of an answer is read, in bytes.
const maxAnswer = 512

// Classify reads the answer of a receiving server ("550 5.1.1 no such user",
// "smtp; 452 4.2.2 mailbox full") and says whether the bounce is for good, and
// why. It looks first for the words of certain large receivers, whose codes
// mislead, then at the enhanced status code (RFC 3463), then for common words, and
// last at the plain SMTP code.
//
// The costly mistake is a false [Hard]: a customer who never gets mail again. So
// an address is Hard only if it or its domain does not exist, is malformed or
// disabled, or takes no mail. A refusal of the sender, of the content or of the
// pace is [Soft], whatever its code. A text without anything that it knows is
// [Undetermined] and [ReasonOther]; an empty one is [Undetermined] without a
// reason. Of a long text only the beginning counts.
//
// Sources: RFC 3463, RFC 7505, the IANA registry of enhanced status codes, and
// what Gmail, Yahoo, Microsoft and Apple publish of their answers (read 2026-11).
func Classify(answer string) (Bounce, Reason) {
	answer = strings.TrimSpace(answer)
	if answer == "" {
		return Undetermined, ""
	}
	text := strings.ToLower(answer[:min(len(answer), maxAnswer)])
	c := readCodes(text)
	// An address is not a word: "spam@example.com" may well not exist.
	if strings.Contains(text, "@") {
		text = strings.Join(slices.DeleteFunc(strings.Fields(text), func(w string) bool { return strings.Contains(w, "@") }), " ")
	}

	bounce, reason, known := receiver(text, c)
	if !known {
		if 1 <= c.subject && c.subject <= 7 {
			bounce, reason = enhanced(c, text)
		} else {
			bounce, reason = spoken(c, text)
		}
	}
	if bounce == Hard && (c.class == 4 || c.class == 0 && c.basic/100 == 4) {
		bounce = Soft
	}
	return bounce, reason
}

// statusCodes are those of an answer, 0 for what it does not have: "550 5.1.1" is
// basic 550, class 5, subject 1, detail 1.
type statusCodes struct{ basic, class, subject, detail int }

// readCodes looks for both codes near the beginning of an answer. Further back, a
// number is something else.
func readCodes(text string) (c statusCodes) {
	text = text[:min(len(text), 200)]
	for start := 0; start < len(text); start++ {
		end := start
		for end < len(text) && (text[end] == '.' || '0' <= text[end] && text[end] <= '9' || 'a' <= text[end] && text[end] <= 'z') {
			end++
		}
		word := strings.TrimRight(text[start:end], ".")
		start = end
		if word == "" || strings.Trim(word, ".0123456789") != "" || !strings.ContainsRune("245", rune(word[0])) {
			continue
		}
		parts := strings.Split(word, ".")
		switch {
		case len(parts) == 1 && len(word) == 3 && c.basic == 0 && word[1] <= '5':
			c.basic = number(word)
		case len(parts) == 3 && len(parts[0]) == 1 && c.class == 0:
			subject, detail := number(parts[1]), number(parts[2])
			if subject >= 0 && detail >= 0 {
				c.class, c.subject, c.detail = number(parts[0]), subject, detail
			}
		}
	}
	return c
}

// number reads one to three digits, and is -1 for anything else.
func number(digits string) (n int) {
	if len(digits) == 0 || len(digits) > 3 {
		return -1
	}
	for _, d := range []byte(digits) {
		n = 10*n + int(d-'0')
	}
	return n
}

func says(text string, words ...string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
}

// receiver knows answers whose codes say something else than they mean.
func receiver(text string, c statusCodes) (_ Bounce, _ Reason, known bool) {
	switch {
	// Gmail: an address that gets too much mail at the moment, under 5.2.1.
	case says(text, "mail at a rate", "messages at a rate", "mail too quickly", "messages too quickly", "receivingrate"):
		return Soft, ReasonThrottled, true
	// Gmail: full and abandoned, under 5.2.2.
	case says(text, "out of storage space", "overquota"):
		return Soft, ReasonQuota, true
	// Apple's relay: this From is not registered there, under 5.1.1.
	case says(text, "unauthorized sender"):
		return Soft, ReasonBlocked, true
	// Microsoft: mostly an unknown user, and sometimes not, under 5.4.1 and 5.1.4.
	case c.class == 5 && (c.subject == 4 && c.detail == 1 || c.subject == 1 && c.detail == 4) && says(text, "access denied"):
		return Soft, ReasonMailbox, true
	// Lists of blocked addresses, and the codes for them at Microsoft.
	case says(text, "spamhaus", "spamcop", "barracuda", "proofpoint", "cloudmark", "dnsbl", "blocklist", "block list",
		"blacklist", "banned sender", "s3140", "s3150", " sc-00", " ou-00", " dy-00"),
		says(text, "client host") && says(text, "blocked"):
		return Soft, ReasonBlocked, true
	// Microsoft and Yahoo: slow down.
	case says(text, " rp-00", "(s77719", "[ts0", "[ts1", "[tss"),
		c.class == 4 && c.subject == 7 && 500 <= c.detail && c.detail <= 699:
		return Soft, ReasonThrottled, true
	case says(text, "greylist", "graylist", "grey-list", "gray-list", "grey list"):
		return Soft, ReasonThrottled, true
	// Yahoo and Gmail: taken for spam.
	case says(text, "[ph", "likely unsolicited", "likely suspicious", "message content rejected"):
		return Soft, ReasonSpam, true
	// Yahoo: no such mailbox, without a code.
	case says(text, "delivery error: dd ", "mailbox is disabled (554.30)"):
		return Hard, ReasonMailbox, true
	}
	return "", "", false
}

// enhanced tells what an enhanced status code means.
func enhanced(c statusCodes, text string) (Bounce, Reason) {
	switch c.subject {
	case 1: // addressing
		switch c.detail {
		case 1, 2, 3, 6, 10:
			return unlessUs(text)
		case 7, 8: // of the sender's address
			return Soft, ReasonBlocked
		}
	case 2: // mailbox
		switch c.detail {
		case 1:
			return unlessUs(text)
		case 2:
			return Soft, ReasonQuota
		case 3:
			return Soft, ReasonSize
		}
	case 3: // mail system
		if c.detail == 4 {
			return Soft, ReasonSize
		}
		return Soft, ReasonNetwork
	case 4: // network and routing
		return Soft, ReasonNetwork
	case 5: // protocol
		return Undetermined, ReasonNetwork
	case 6: // content
		return Soft, ReasonOther
	case 7: // security and policy
		switch {
		case c.detail == 17 || c.detail == 18: // the mailbox or the domain changed hands
			return Hard, ReasonMailbox
		case c.detail == 28, says(text, "rate limit", "throttl", "too many"), c.class == 4 && says(text, "try again"):
			return Soft, ReasonThrottled
		case says(text, "spam", "unsolicited", "virus", "content", "junk", "malware", "phish"):
			return Soft, ReasonSpam
		}
		return Soft, ReasonBlocked
	}
	if c.class == 4 {
		return Soft, ReasonOther
	}
	return Undetermined, ReasonOther
}

// unlessUs is what a code for "no such mailbox" means, unless the words beside it
// speak of us.
func unlessUs(text string) (Bounce, Reason) {
	if says(text, "spam", "blocked", "reputation", "dmarc", "policy", "spf", "dkim", "access denied", "not authori", "rate limit") {
		return Soft, ReasonBlocked
	}
	return Hard, ReasonMailbox
}

// spoken tells what an answer without an enhanced code means, by its words, or by
// its plain code.
func spoken(c statusCodes, text string) (Bounce, Reason) {
	switch {
	case says(text, "mailbox full", "mailbox is full", "full mailbox", "over quota", "quota exceeded", "exceeded quota",
		"exceeded storage", "exceeds quota", "quota is exceeded", "over its quota", "insufficient storage", "insufficient system storage"):
		return Soft, ReasonQuota
	case says(text, "too many", "rate limit", "throttl", "try again", "try later", "temporarily deferred", "retry", "slow down"):
		return Soft, ReasonThrottled
	case says(text, "blocked", "reputation", "dmarc", "spf", "dkim", "sender", "relay denied", "relaying", "relay access", "unable to relay", "relay not", "policy", "not authori"):
		return Soft, ReasonBlocked
	case says(text, "spam", "unsolicited", "virus", "junk"):
		return Soft, ReasonSpam
	case says(text, "too large", "too big", "size exceed", "exceeds size", "exceeds the maximum", "exceeds maximum"):
		return Soft, ReasonSize
	case says(text, nobody...):
		return Hard, ReasonMailbox
	case says(text, "timed out", "timeout", "time-out", "connection refused", "connection reset", "connection lost",
		"connection closed", "could not connect", "could not resolve", "no route to host", "network", "unreachable", "expired"):
		return Soft, ReasonNetwork
	case c.basic == 552 || c.basic == 452:
		return Soft, ReasonQuota
	case c.basic == 421 || c.basic == 450 || c.basic == 451:
		return Soft, ReasonThrottled
	case c.class == 4 || c.basic/100 == 4:
		return Soft, ReasonOther
	}
	return Undetermined, ReasonOther // 550 too is said of the sender and of the content
}

// nobody are the ways to say that there is no such mailbox.
var nobody = func() []string {
	list := []string{
		"doesn't have an", "does not have an", "no longer valid", "no longer available", "no longer in use",
		"not a known user", "not a valid user", "not a valid recipient", "not a valid mailbox", "no mailbox", "no account",
	}
	for _, noun := range []string{"user", "recipient", "mailbox", "address", "account", "domain", "destination"} {
		for _, before := range []string{"no such ", "unknown ", "invalid ", "unrouteable ", "nonexistent ", "non-existent ", "inactive ", "bad "} {
			list = append(list, before+noun)
		}
		for _, behind := range []string{"unknown", "not found", "disabled", "inactive", "invalid", "does not exist", "doesn't exist", "not exist"} {
			list = append(list, noun+" "+behind, noun+" is "+behind)
		}
	}
	return list
}()
