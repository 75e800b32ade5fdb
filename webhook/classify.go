package webhook

import (
	"regexp"
	"strings"
)

// Classify reads the answer of a receiving server ("550 5.1.1 no such user",
// "smtp; 452 4.2.2 mailbox full") and says whether the bounce is for good, and
// why. It looks first for the words of certain large receivers, whose codes
// mislead, then at the enhanced status code (RFC 3463), then for common words, and
// last at the plain SMTP code.
//
// The costly mistake is a false [Hard]: a customer who never gets mail again. So
// an address is Hard only if it or its domain does not exist, is disabled or is
// malformed, or takes no mail; a refusal of the sender, of the content or of the pace is
// [Soft], whatever its code. A text without anything that it knows is
// [Undetermined] and [ReasonOther]; an empty one is [Undetermined] without a
// reason.
//
// Sources: RFC 3463, RFC 7505, the IANA registry of enhanced status codes, and
// what Gmail, Yahoo, Microsoft and Apple publish of their answers (read 2026-11).
func Classify(answer string) (Bounce, Reason) {
	answer = strings.TrimSpace(answer[:min(len(answer), 2*MaxText)])
	if answer == "" {
		return Undetermined, ""
	}
	text := strings.ToLower(answer)
	basic, class, subject, detail := codes(text)
	permanent := class == 5 || class == 0 && basic >= 500
	temporary := class == 4 || class == 0 && basic >= 400 && basic < 500

	for _, w := range receivers {
		if w.words.MatchString(text) {
			return w.bounce, w.reason
		}
	}
	if class == 0 || subject == 0 || subject > 7 { // no code, or one that says nothing
		for _, w := range words {
			if w.words.MatchString(text) {
				return temper(w.bounce, temporary), w.reason
			}
		}
		return plain(basic)
	}

	bounce, reason := enhanced(subject, detail, permanent, text)
	if bounce == Hard && blocking.MatchString(text) {
		return Soft, ReasonBlocked // believe the words
	}
	return temper(bounce, temporary), reason
}

// temper makes soft what the server calls temporary.
func temper(b Bounce, temporary bool) Bounce {
	if temporary && b == Hard {
		return Soft
	}
	return b
}

// The code of SMTP stands at the beginning, or behind "smtp;" and the like. The
// enhanced one stands behind it, or alone.
var (
	basicCode    = regexp.MustCompile(`(?:^|[^0-9.])([245][0-5][0-9])(?:$|[^0-9.])`)
	enhancedCode = regexp.MustCompile(`(?:^|[^0-9.])([245])\.([0-9]{1,3})\.([0-9]{1,3})(?:$|[^0-9.]|\.(?:$|[^0-9]))`)
)

// codes reads both codes of an answer, 0 for what it does not have.
func codes(text string) (basic, class, subject, detail int) {
	head := text[:min(len(text), 64)] // further back, a number is something else
	if m := basicCode.FindStringSubmatch(head); m != nil {
		basic = number(m[1])
	}
	if m := enhancedCode.FindStringSubmatch(text[:min(len(text), 200)]); m != nil {
		class, subject, detail = number(m[1]), number(m[2]), number(m[3])
	}
	return basic, class, subject, detail
}

func number(digits string) (n int) {
	for _, d := range digits {
		n = 10*n + int(d-'0')
	}
	return n
}

type rule struct {
	words  *regexp.Regexp
	bounce Bounce
	reason Reason
}

func is(bounce Bounce, reason Reason, words string) rule {
	return rule{regexp.MustCompile(words), bounce, reason}
}

// receivers are answers whose codes say something else than they mean. They are
// in lower case, and the first that fits decides.
var receivers = []rule{
	// Gmail: an address that gets too much mail at the moment, under 5.2.1.
	is(Soft, ReasonThrottled, `receiving (?:e?mail|messages) (?:at a rate|too quickly)|receivingrate`),
	// Gmail: full and abandoned, under 5.2.2.
	is(Soft, ReasonQuota, `out of storage space|overquota`),
	// Apple's relay: this From is not registered there, under 5.1.1.
	is(Soft, ReasonBlocked, `unauthorized sender`),
	// Microsoft: mostly an unknown user, and sometimes not.
	is(Soft, ReasonMailbox, `5\.(?:4\.1|1\.4)\b.*recipient address rejected: access denied`),
	// Lists of blocked addresses, and the codes for them at Microsoft.
	is(Soft, ReasonBlocked, `spamhaus|spamcop|barracuda|proofpoint|cloudmark|\b(?:dns|r)bl\b|block ?list|blacklist|banned sender|\bs31(?:40|50)\b|\b(?:sc|ou|dy)-00[1-4]\b|client host .*blocked`),
	// Microsoft and Yahoo: slow down.
	is(Soft, ReasonThrottled, `\brp-00[1-3]\b|\(s77719|\[tss?[0-9]{2}\]|4\.7\.(?:[56][0-9]{2})\b.*(?:busy|throttl)`),
	// Greylisting.
	is(Soft, ReasonThrottled, `gr[ea]y-?list`),
	// Yahoo and Gmail: taken for spam.
	is(Soft, ReasonSpam, `\[ph[0-9]{2}\]|likely (?:unsolicited|suspicious)|message content rejected`),
	// Yahoo: no such mailbox, without a code.
	is(Hard, ReasonMailbox, `delivery error: dd |mailbox is disabled \(554\.30\)`),
}

// blocking are words beside a code for "no such mailbox" that speak of us instead.
var blocking = regexp.MustCompile(`\bspam|blocked|reputation|dmarc|\bpolicy|\bspf\b|dkim|poor|access denied|not authori[sz]ed|rate limit`)

// words tell what an answer without an enhanced code means.
var words = []rule{
	is(Soft, ReasonQuota, `mailbox (?:is )?full|(?:over|exceed\w*|out of) (?:\w+ ){0,2}(?:quota|storage)|quota (?:is )?exceeded|insufficient (?:system )?storage|full mailbox`),
	is(Soft, ReasonThrottled, `too many (?:connections|messages|recipients|concurrent)|rate limit|throttl|try (?:again )?later|try again|temporarily deferred|please retry|slow down`),
	is(Soft, ReasonBlocked, `blocked|reputation|dmarc|\bspf\b|dkim|sender (?:address )?rejected|relay(?:ing)? (?:access )?(?:denied|not)|unable to relay|policy|not authori[sz]ed`),
	is(Soft, ReasonSpam, `\bspam|unsolicited|\bvirus|junk`),
	is(Soft, ReasonSize, `(?:message|size|mail) (?:\w+ ){0,3}(?:too (?:large|big)|exceed\w*)|too large`),
	is(Hard, ReasonMailbox, `(?:no such|unknown|invalid|unrouteable|nonexistent|non-existent|inactive|disabled|bad) (?:\w+ )?(?:user|recipient|mailbox|address|account|domain|destination)|(?:user|recipient|mailbox|address|account|host|domain)(?: address)?(?: \S+@\S+)? (?:is )?(?:unknown|not found|unavailable for good|disabled|inactive|invalid|does ?n[o']t exist|does not exist|not exist)|(?:doesn't|does not|doesnt) (?:exist|have an? \S+ account)|no (?:mailbox|account) (?:here|by that name|with)|not a (?:known|valid) (?:user|recipient|mailbox)|no longer (?:valid|available|in use)|user unknown|recipient not found`),
	is(Soft, ReasonNetwork, `timed? ?-?out|connection (?:refused|reset|lost|closed|terminated)|could not (?:connect|resolve)|no route to host|\bdns\b|network|unreachable|expired|no mx`),
}

// enhanced tells what an enhanced status code means.
func enhanced(subject, detail int, permanent bool, text string) (Bounce, Reason) {
	switch subject {
	case 1: // addressing
		switch detail {
		case 1, 2, 3, 6, 10:
			return Hard, ReasonMailbox
		case 7, 8:
			return Soft, ReasonBlocked // it is the sender's address
		}
	case 2: // mailbox
		switch detail {
		case 1:
			return Hard, ReasonMailbox
		case 2:
			return Soft, ReasonQuota
		case 3:
			return Soft, ReasonSize
		}
		if !permanent {
			return Soft, ReasonOther
		}
	case 3: // mail system
		if detail == 4 {
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
		case detail == 17 || detail == 18: // the mailbox or the domain changed hands
			return Hard, ReasonMailbox
		case detail == 28 && !strings.Contains(text, "spam"),
			strings.Contains(text, "rate limit"), strings.Contains(text, "throttl"), strings.Contains(text, "too many"):
			return Soft, ReasonThrottled
		case spam.MatchString(text):
			return Soft, ReasonSpam
		}
		return Soft, ReasonBlocked
	}
	if permanent {
		return Undetermined, ReasonOther
	}
	return Soft, ReasonOther
}

var spam = regexp.MustCompile(`\bspam|unsolicited|\bvirus|content|junk|malware|phish`)

// plain tells what an SMTP code means that has no other company.
func plain(code int) (Bounce, Reason) {
	switch {
	case code == 552 || code == 452:
		return Soft, ReasonQuota
	case code == 421 || code == 450 || code == 451:
		return Soft, ReasonThrottled
	case code >= 400 && code < 500:
		return Soft, ReasonOther
	}
	return Undetermined, ReasonOther // 550 too is said of the sender and of the content
}
