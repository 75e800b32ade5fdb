package smtp

import (
	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/mime"
)

// CarriedHeader is what the relay of p adds to a mail.
func CarriedHeader(p *Provider, m mailer.Message) []mime.Field {
	header, _ := p.relay.carry(&m)
	return header
}
