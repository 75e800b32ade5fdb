package sendgrid

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sendgrid/sendgrid-go/helpers/mail"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/httpapi"
	"github.com/seed355143d4/mailer/internal/jsonenc"
)

// SendGrid's limits. Over one of them a message is [mailer.KindTooLarge], over
// MaxDelay [mailer.KindUnsupported], and nothing was sent.
// Source: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send-limitations
// (read 2026-11). Older pages say 20 MB for MaxSize.
const (
	MaxRecipients      = 1000           // in To, Cc and Bcc together
	MaxSize            = 30 << 20       // bytes of the request, files in base64
	MaxDelay           = 72 * time.Hour // from now to SendAt
	MaxSubstitutions   = 10_000         // bytes of a legacy template's data
	MaxGroupsToDisplay = 25             // in Extra
)

// The limits of tags and metadata. What is over them stays behind, and is named
// in the receipt.
const (
	maxCategories = 10
	maxCustomArgs = 10_000 // bytes
)

// reserved are the header fields that are SendGrid's to set, in lower case: those
// that [mailer.Message.Validate] lets pass.
// Source: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
// (read 2026-11).
var reserved = []string{"x-sg-id", "x-sg-eid"}

// Extra holds the settings that only SendGrid has. The zero value leaves them to
// the account.
type Extra struct {
	// UnsubscribeGroup is the id of the unsubscribe group (ASM) that the message
	// belongs to, and GroupsToDisplay those on the page behind its link, at most
	// 25. Zero: none.
	UnsubscribeGroup int
	GroupsToDisplay  []int
	// IPPool is the name of the pool of addresses to send from, 2 to 64 characters.
	IPPool string
	// BatchID, made by SendGrid beforehand, lets a message with SendAt be canceled.
	BatchID string
	// Sandbox has SendGrid check the message and not send it. The receipt's
	// MessageID is then our own.
	Sandbox bool
	// Bypass has SendGrid mail addresses that are on its lists.
	Bypass Bypass
	// Footer is what SendGrid puts below the bodies.
	Footer Footer
	// SubscriptionTracking is the link by which a recipient unsubscribes from all mail
	// of the account.
	SubscriptionTracking SubscriptionTracking
	// UTM is what SendGrid adds to the links for web analytics.
	UTM UTM
}

// Bypass names SendGrid's lists that hold a message back and are not to. The zero
// value names none. It is for what has to arrive, such as a notice that the law asks
// for: mailing those who complained or are gone costs reputation.
type Bypass struct {
	// All is every list, those of the unsubscribe groups too. It stands alone.
	All bool
	// Bounces, SpamReports and Unsubscribes are the lists of these names; the
	// last one is that of global unsubscribes.
	Bounces, SpamReports, Unsubscribes bool
}

// Footer is a text below the bodies. The zero value leaves it to the account.
type Footer struct {
	// Enable is Off for no footer. Default is On if there is a text, and else what the
	// account has. On needs a text.
	Enable mailer.Switch
	// Text goes below the message's Text, and HTML below its HTML.
	Text, HTML string
}

// SubscriptionTracking is a link for unsubscribing that SendGrid puts into the bodies,
// and into a List-Unsubscribe header field. The zero value leaves it to the account.
type SubscriptionTracking struct {
	// Enable is Off for no link. Default is On if there is one of the texts, and else
	// what the account has. On does not go with a message's Unsubscribe, for SendGrid
	// would write the header field a second time.
	Enable mailer.Switch
	// Text and HTML go below the bodies. The link is where Text has "<% %>" and HTML has
	// "<% click here %>".
	Text, HTML string
	// Tag is what stands in the bodies where the address of the link is to be, such as
	// "[unsubscribe_url]". It does not go with Text and HTML.
	Tag string
}

// UTM are the parameters of a link by which web analytics (Google's, in SendGrid's
// words) knows where a visit comes from: utm_source, utm_medium, utm_term, utm_content
// and utm_campaign. One that is empty is left to the account.
type UTM struct {
	// Enable is Off for links without parameters. Default is On if there is a parameter,
	// and else what the account has.
	Enable                                  mailer.Switch
	Source, Medium, Term, Content, Campaign string
}

// filled says whether there is something that Enable can switch on.
func (f Footer) filled() bool { return f != Footer{Enable: f.Enable} }

func (s SubscriptionTracking) filled() bool { return s != SubscriptionTracking{Enable: s.Enable} }

func (u UTM) filled() bool { return u != UTM{Enable: u.Enable} }

// ForProvider returns "sendgrid".
func (Extra) ForProvider() string { return provider }

// request is a message in SendGrid's words.
type request struct {
	message mailer.Message // as it goes out
	payload *payload       // without the files
	extra   Extra
	dropped []string
	at      int // its place in a batch
}

// encode turns m into SendGrid's words, or says why that cannot be done.
func (p *Provider) encode(m mailer.Message, now time.Time) (request, httpapi.Body, error) {
	r, err := p.request(m, now)
	if err != nil {
		return request{}, httpapi.Body{}, err
	}
	body, err := encode(&r)
	if err == nil {
		err = r.fits(body)
	}
	return r, body, err
}

// fits refuses a body of just r that is too large.
func (r *request) fits(body httpapi.Body) error {
	return adapter.Size(provider, &r.message, int(body.Size()), MaxSize)
}

// request does what encode does, but for the files and the size.
func (p *Provider) request(m mailer.Message, now time.Time) (request, error) {
	m, err := adapter.Prepare(provider, m, false)
	if err != nil {
		return request{}, err
	}
	x := mailer.ExtraFor[Extra](m)
	if err := check(&m, x, now); err != nil {
		return request{}, err
	}

	v3 := newPayload(&m)
	v3.Headers = headers(&m)
	v3.IPPoolID, v3.BatchID = x.IPPool, x.BatchID
	v3.TrackingSettings = tracking(m.Track, x)
	if m.SendAt.After(now) {
		v3.SendAt = int(m.SendAt.Unix())
	}
	if x.UnsubscribeGroup != 0 {
		v3.Asm = &mail.Asm{GroupID: x.UnsubscribeGroup, GroupsToDisplay: x.GroupsToDisplay}
	}
	v3.MailSettings = settings(x)
	if m.Template.ID != "" {
		v3.TemplateID = cmp.Or(p.templates[m.Template.ID], m.Template.ID)
		if err := fill(&v3.to, v3.TemplateID, m.Template.Data); err != nil {
			return request{}, err
		}
	}
	r := request{message: m, payload: v3, extra: x}
	v3.Categories, v3.CustomArgs, r.dropped = reporting(&m)
	return r, nil
}

// check refuses what SendGrid has no words for, and what is over its limits.
func check(m *mailer.Message, x Extra, now time.Time) error {
	if err := cmp.Or(
		adapter.Setting("sendgrid.Extra.IPPool", x.IPPool),
		adapter.Setting("sendgrid.Extra.BatchID", x.BatchID),
		checkTexts(x),
		adapter.Headers(provider, m, reserved),
	); err != nil {
		return err
	}
	switch {
	case x.UnsubscribeGroup < 0, x.UnsubscribeGroup == 0 && len(x.GroupsToDisplay) > 0:
		return adapter.Invalid("sendgrid.Extra.UnsubscribeGroup", errors.New("is not the id of a group"))
	case len(x.GroupsToDisplay) > MaxGroupsToDisplay:
		return adapter.TooLarge(provider, "sendgrid.Extra.GroupsToDisplay", MaxGroupsToDisplay, "groups")
	case x.Bypass.All && x.Bypass != (Bypass{All: true}):
		return adapter.Invalid("sendgrid.Extra.Bypass", errors.New("has All, which does not go with the others"))
	case x.IPPool != "" && (utf8.RuneCountInString(x.IPPool) < 2 || utf8.RuneCountInString(x.IPPool) > 64):
		return adapter.Invalid("sendgrid.Extra.IPPool", errors.New("is not 2 to 64 characters"))
	case m.Unsubscribe != (mailer.Unsubscribe{}) && isOn(x.SubscriptionTracking.Enable, x.SubscriptionTracking.filled()):
		return adapter.Unsupported(provider, "Unsubscribe", "SendGrid writes the header field of its subscription tracking itself")
	case len(m.To) == 0:
		return adapter.Unsupported(provider, "To", "SendGrid needs a recipient in To")
	case m.Subject == "" && m.Template.ID == "":
		return adapter.Unsupported(provider, "Subject", "SendGrid needs a subject")
	case m.SendAt.Sub(now) > MaxDelay:
		return adapter.Unsupported(provider, "SendAt", "SendGrid takes no more than 72 hours")
	}
	if err := adapter.MediaTypes(provider, m); err != nil {
		return err
	}
	return adapter.Recipients(provider, m, MaxRecipients)
}

// checkTexts refuses what SendGrid puts into a mail if it is no text, or is not all
// needed.
func checkTexts(x Extra) error {
	link := x.SubscriptionTracking
	if err := cmp.Or(
		adapter.Body("sendgrid.Extra.Footer.Text", x.Footer.Text),
		adapter.Body("sendgrid.Extra.Footer.HTML", x.Footer.HTML),
		adapter.Body("sendgrid.Extra.SubscriptionTracking.Text", link.Text),
		adapter.Body("sendgrid.Extra.SubscriptionTracking.HTML", link.HTML),
		adapter.Setting("sendgrid.Extra.SubscriptionTracking.Tag", link.Tag),
		adapter.Setting("sendgrid.Extra.UTM.Source", x.UTM.Source),
		adapter.Setting("sendgrid.Extra.UTM.Medium", x.UTM.Medium),
		adapter.Setting("sendgrid.Extra.UTM.Term", x.UTM.Term),
		adapter.Setting("sendgrid.Extra.UTM.Content", x.UTM.Content),
		adapter.Setting("sendgrid.Extra.UTM.Campaign", x.UTM.Campaign),
		checkSwitch("sendgrid.Extra.Footer.Enable", x.Footer.Enable, x.Footer.filled()),
		checkSwitch("sendgrid.Extra.SubscriptionTracking.Enable", link.Enable, link.filled()),
		checkSwitch("sendgrid.Extra.UTM.Enable", x.UTM.Enable, x.UTM.filled()),
	); err != nil {
		return err
	}
	switch {
	case x.Footer.Enable == mailer.On && !x.Footer.filled():
		return adapter.Invalid("sendgrid.Extra.Footer", errors.New("is On without a text"))
	case link.Tag != "" && link.Text+link.HTML != "":
		return adapter.Invalid("sendgrid.Extra.SubscriptionTracking.Tag", errors.New("does not go with Text and HTML"))
	}
	return nil
}

func checkSwitch(field string, s mailer.Switch, filled bool) error {
	switch {
	case s > mailer.Off:
		return adapter.Invalid(field, errors.New("is not Default, On or Off"))
	case s == mailer.Off && filled:
		return adapter.Invalid(field, errors.New("is Off beside what it would switch on"))
	}
	return nil
}

// isOn says whether the message switches a setting on.
func isOn(s mailer.Switch, filled bool) bool { return s == mailer.On || s == mailer.Default && filled }

// headers returns the header fields.
func headers(m *mailer.Message) map[string]string {
	if m.Unsubscribe == (mailer.Unsubscribe{}) {
		return m.Headers
	}
	all := map[string]string{}
	for _, f := range adapter.Fields(nil, m) {
		all[f.Name] = f.Value
	}
	return all
}

// fill puts a template's data where its generation of templates looks for it.
func fill(to *mail.Personalization, id string, data map[string]any) error {
	if strings.HasPrefix(id, "d-") {
		to.DynamicTemplateData = data
		return nil
	}
	size := 0
	for _, key := range adapter.Keys(data) {
		value, ok := data[key].(string)
		if !ok {
			return adapter.Unsupported(provider, adapter.Key("Template.Data", key), "a legacy template takes strings only")
		}
		if to.Substitutions == nil {
			to.Substitutions = make(map[string]string, len(data))
		}
		to.Substitutions[key] = value
		size += len(key) + len(value)
	}
	if size > MaxSubstitutions {
		return adapter.TooLarge(provider, "Template.Data", MaxSubstitutions, "bytes")
	}
	return nil
}

// reporting returns what serves reporting only, and names what SendGrid has no
// room for.
func reporting(m *mailer.Message) (categories []string, args map[string]string, dropped []string) {
	for i, tag := range m.Tags {
		switch {
		case slices.Contains(categories, tag):
		case len(categories) == maxCategories || strings.ContainsFunc(tag, func(r rune) bool { return r > '~' }):
			dropped = append(dropped, adapter.Index("Tags", i))
		default:
			categories = append(categories, tag)
		}
	}

	args = map[string]string{"mailer_id": m.ID}
	room := maxCustomArgs - len(`"mailer_id":"",`) - len(m.ID)
	for _, key := range adapter.Keys(m.Metadata) {
		size := argSize(key, m.Metadata[key])
		if size > room || slices.Contains(eventFields, key) || strings.HasPrefix(key, "marketing_campaign_") {
			dropped = append(dropped, adapter.Key("Metadata", key))
			continue
		}
		room -= size
		args[key] = m.Metadata[key]
	}
	return categories, args, dropped
}

// argSize is what a custom argument takes of the room for all, in bytes of JSON.
func argSize(key, value string) int {
	return len(`:,`) + len(jsonenc.AppendString(jsonenc.AppendString(nil, key), value))
}

// eventFields are the fields of SendGrid's events. Custom arguments stand beside
// them there, and lose against them.
// Source: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
// (read 2026-11).
var eventFields = []string{
	"asm_group_id", "attempt", "bounce_classification", "category", "cert_err", "domain", "email", "event", "from",
	"ip", "pool", "reason", "response", "send_at", "sg_content_type", "sg_event_id", "sg_machine_open",
	"sg_message_id", "sg_template_id", "sg_template_name", "smtp-id", "status", "timestamp", "tls", "type", "url",
	"url_offset", "useragent",
}

// settings returns what the message says about how it is handled, nil if nothing.
func settings(x Extra) *mail.MailSettings {
	if !x.Sandbox && x.Bypass == (Bypass{}) && x.Footer == (Footer{}) {
		return nil
	}
	set := func(on bool) *mail.Setting {
		if !on {
			return nil // which is the account's own setting
		}
		return mail.NewSetting(true)
	}
	s := &mail.MailSettings{
		SandboxMode:                 set(x.Sandbox),
		BypassListManagement:        set(x.Bypass.All),
		BypassBounceManagement:      set(x.Bypass.Bounces),
		BypassSpamManagement:        set(x.Bypass.SpamReports),
		BypassUnsubscribeManagement: set(x.Bypass.Unsubscribes),
	}
	if f := x.Footer; f != (Footer{}) {
		s.Footer = &mail.FooterSetting{Enable: new(isOn(f.Enable, f.filled())), Text: f.Text, Html: f.HTML}
	}
	return s
}

// tracking returns what the message says about tracking, nil if nothing.
func tracking(t mailer.Tracking, x Extra) *mail.TrackingSettings {
	link, utm := x.SubscriptionTracking, x.UTM
	if t == (mailer.Tracking{}) && link == (SubscriptionTracking{}) && utm == (UTM{}) {
		return nil
	}
	s := new(mail.TrackingSettings)
	if on := t.Opens == mailer.On; t.Opens != mailer.Default {
		s.OpenTracking = &mail.OpenTrackingSetting{Enable: &on}
	}
	if on := t.Clicks == mailer.On; t.Clicks != mailer.Default {
		s.ClickTracking = &mail.ClickTrackingSetting{Enable: &on, EnableText: &on}
	}
	if link != (SubscriptionTracking{}) {
		s.SubscriptionTracking = &mail.SubscriptionTrackingSetting{
			Enable: new(isOn(link.Enable, link.filled())), Text: link.Text, Html: link.HTML, SubstitutionTag: link.Tag,
		}
	}
	if utm != (UTM{}) {
		s.GoogleAnalytics = &mail.GaSetting{
			Enable: new(isOn(utm.Enable, utm.filled())), CampaignSource: utm.Source, CampaignMedium: utm.Medium,
			CampaignTerm: utm.Term, CampaignContent: utm.Content, CampaignName: utm.Campaign,
		}
	}
	return s
}
