package mailjet

import (
	"testing"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/providertest"
)

// yes200 is Mailjet's yes to the registration mail.
const yes200 = `{"Messages":[{"Status":"success","CustomID":"01HZX5J3A7","To":[{"Email":"ada@example.com",` +
	`"MessageUUID":"5d4710f5-9aff-4ff8-9d7e-1f0cf9125019","MessageID":1152921540123456789,` +
	`"MessageHref":"https://api.mailjet.com/v3/REST/message/1152921540123456789"}],"Cc":[],"Bcc":[]}]}`

// A registration mail is to cost no more than 70 allocations, of which some 62 are
// those of net/http.
var bench = providertest.Bench{
	New: func(baseURL string) (mailer.Provider, error) {
		return New(Config{APIKey: apiKey, SecretKey: secretKey, BaseURL: baseURL})
	},
	Path:   "/v3.1/send",
	Answer: providertest.JSON(200, yes200),
	Check:  1, // the body aside
	Send:   8,
}

func TestAllocations(t *testing.T) { bench.Allocations(t) }

func Benchmark(b *testing.B) { bench.Run(b) }
