package bench

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/seed355143d4/mailer"
)

// BenchmarkGrowth measures how the cost of a mail grows with its size, with its
// recipients, and with how many are sent at once, by the adapter whose service takes
// the most of each.
func BenchmarkGrowth(b *testing.B) {
	for _, kB := range []int{1, 10, 100, 1000} {
		m := message(nil)
		m.Text, m.HTML = strings.Repeat(text, kB)[:1000*kB/5], strings.Repeat(html, kB)[:1000*kB*4/5]
		b.Run(fmt.Sprintf("kB=%d", kB), func(b *testing.B) { grown(b, m, 1) })
	}
	for _, n := range []int{1, 10, 100, 1000} {
		m := message(nil)
		for i := 1; i < n; i++ {
			m.To = append(m.To, mailer.Address{Name: "Ada", Address: fmt.Sprintf("ada%d@example.com", i)})
		}
		b.Run(fmt.Sprintf("recipients=%d", n), func(b *testing.B) { grown(b, m, 1) })
	}
	for _, senders := range []int{1, 8, 64, 256} {
		b.Run(fmt.Sprintf("senders=%d", senders), func(b *testing.B) { grown(b, message(nil), senders) })
	}
}

// grown compares the adapter for SendGrid with a bare POST of the same bytes.
func grown(b *testing.B, m mailer.Message, senders int) {
	always := func([]byte) mailer.Message { return m }
	compare(b, bareOf("bare", sendgridOver, always), subject{"mailer", func([]byte) (func(context.Context) error, error) {
		p, err := openSendgrid(base)
		return func(ctx context.Context) error {
			_, err := p.Send(ctx, m)
			return err
		}, err
	}}, nil, senders)
}
