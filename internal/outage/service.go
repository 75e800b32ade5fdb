package outage

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/suppression"
)

// Mode is what a service does for a while.
type Mode uint8

// The modes.
const (
	// Well takes every message that it likes.
	Well Mode = iota
	// Storm answers 429, and says for how long.
	Storm
	// SilentStorm answers 429, and does not say for how long.
	SilentStorm
	// Hang reads the message and never answers, nor takes it.
	Hang
	// LostAnswer takes the message, and the connection breaks before the answer.
	LostAnswer
	// Refuse refuses the connection.
	Refuse
	// Recovery answers 503 less and less often, and takes the others.
	Recovery
	// NoCredits says that the credits are used up.
	NoCredits
	// Suspended says that the account is suspended.
	Suspended
	// RefuseAll refuses every message as if it were the message's fault.
	RefuseAll
	// Slow takes every message, after seconds.
	Slow
)

var modeNames = [...]string{
	"well", "429, Retry-After", "429", "hangs", "takes it, answer lost", "refuses connections",
	"503, recovering", "no credits", "suspended", "refuses every message", "slow",
}

func (m Mode) String() string { return modeNames[m] }

// Phase is a time in which a service is not well.
type Phase struct {
	Service    int
	From, To   time.Duration // since the beginning of the day
	Mode       Mode
	RetryAfter time.Duration
}

// dead tells whether a call in this mode is wasted.
func (m Mode) dead() bool { return m != Well && m != Slow && m != Recovery && m != LostAnswer }

// Service is one of the simulation's relay services. It answers by the phase of
// the day and by what is special about the message, and writes into the ledger.
type Service struct {
	index  int
	world  *world
	phases []Phase
}

// Name is the service's name.
func (s *Service) Name() string { return names[s.index] }

var names = [...]string{"first", "second", "third"}

// Send takes m or not.
func (s *Service) Send(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
	i, err := strconv.Atoi(m.ID[1:])
	if err != nil {
		return mailer.Receipt{}, &mailer.Error{Provider: s.Name(), Kind: mailer.KindInvalid, NotSent: true, Field: "ID"}
	}
	start := s.world.now()
	phase := s.at(start)
	s.world.called(s.index, start, phase.Mode)
	draw := rand.New(rand.NewPCG(uint64(i), uint64(s.index)))
	latency := time.Duration(60+draw.ExpFloat64()*60) * time.Millisecond
	fail := func(kind mailer.Kind, status int, notSent bool) (mailer.Receipt, error) {
		return mailer.Receipt{ID: m.ID}, &mailer.Error{
			Provider: s.Name(), Kind: kind, Status: status, NotSent: notSent, RetryAfter: phase.RetryAfter,
		}
	}
	switch phase.Mode {
	case Refuse:
		return fail(mailer.KindNetwork, 0, true)
	case Hang:
		<-ctx.Done()
		return fail(mailer.KindNetwork, 0, false)
	case Slow:
		latency += 3 * time.Second
	}
	if !pause(ctx, latency) {
		if phase.Mode == Well || phase.Mode == Slow {
			s.world.take(s.index, i) // it works on, whether anybody listens or not
		}
		return fail(mailer.KindNetwork, 0, false)
	}
	switch phase.Mode {
	case Storm, SilentStorm:
		return fail(mailer.KindRateLimited, 429, true)
	case NoCredits:
		return fail(mailer.KindQuota, 402, true)
	case Suspended:
		return fail(mailer.KindUnauthorized, 401, true)
	case RefuseAll:
		return fail(mailer.KindRejected, 422, true)
	case Recovery:
		if done := float64(start-phase.From) / float64(phase.To-phase.From); draw.Float64() > done {
			return fail(mailer.KindUnavailable, 503, false)
		}
	}
	switch nature(i) {
	case poison:
		return fail(mailer.KindRejected, 400, true)
	case disliked:
		if s.index == 0 {
			return fail(mailer.KindContent, 422, true)
		}
	case suppressed:
		if s.index == suppressedAt(i) {
			return fail(mailer.KindRecipient, 422, true)
		}
	}
	s.world.take(s.index, i)
	if phase.Mode == LostAnswer {
		return fail(mailer.KindNetwork, 0, false)
	}
	return mailer.Receipt{ID: m.ID, Provider: s.Name(), MessageID: strconv.Itoa(i)}, nil
}

// pause tells whether d passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Verify answers a question that needs no message as the phase of the day has it.
func (s *Service) Verify(ctx context.Context) error {
	start := s.world.now()
	phase := s.at(start)
	s.world.called(s.index, start, phase.Mode)
	fail := func(kind mailer.Kind, status int) error {
		return &mailer.Error{Provider: s.Name(), Kind: kind, Status: status, NotSent: true, RetryAfter: phase.RetryAfter}
	}
	latency := 60 * time.Millisecond
	switch phase.Mode {
	case Refuse:
		return fail(mailer.KindNetwork, 0)
	case Hang:
		latency = Day
	case Slow:
		latency += 3 * time.Second
	}
	if !pause(ctx, latency) {
		return fail(mailer.KindNetwork, 0)
	}
	switch phase.Mode {
	case Storm, SilentStorm:
		return fail(mailer.KindRateLimited, 429)
	case Suspended:
		return fail(mailer.KindUnauthorized, 401)
	case LostAnswer:
		return fail(mailer.KindNetwork, 0)
	case Recovery:
		draw := rand.New(rand.NewPCG(uint64(start), uint64(s.index)))
		if done := float64(start-phase.From) / float64(phase.To-phase.From); draw.Float64() > done {
			return fail(mailer.KindUnavailable, 503)
		}
	}
	return nil
}

// PullSuppressions tells who complained through this service, among the recipients
// of the whole day, in pages.
func (s *Service) PullSuppressions(_ context.Context, cursor string) (page []suppression.Entry, next string, err error) {
	i, _ := strconv.Atoi(cursor) // "" is 0
	for ; i < len(s.world.taken); i++ {
		if nature(i) != suppressed || suppressedAt(i) != s.index {
			continue
		}
		if len(page) == 1000 {
			return page, strconv.Itoa(i), nil
		}
		page = append(page, suppression.Entry{
			Address: message(i).To[0].Address, Reason: suppression.Complaint, Source: s.Name(), Created: s.world.began.Add(-time.Hour),
		})
	}
	return page, "", nil
}

// at is the phase of the service at a time of day.
func (s *Service) at(now time.Duration) Phase {
	for _, p := range s.phases {
		if p.From <= now && now < p.To {
			return p
		}
	}
	return Phase{}
}

// kind of message.
type kind uint8

const (
	ordinary   kind = iota
	suppressed      // the recipient complained through one of the services
	poison          // every service refuses it
	disliked        // the first service does not like its content
)

// nature tells what is special about message i: of a thousand, 20 are to
// recipients who complained, 2 are poison, and 3 have content that the first
// service refuses.
func nature(i int) kind {
	switch {
	case i%50 == 17:
		return suppressed
	case i%500 == 123:
		return poison
	case i%333 == 200:
		return disliked
	}
	return ordinary
}

// suppressedAt is the service that has the recipient of message i on its list:
// the first has carried most of the mail, so most complaints came through it.
func suppressedAt(i int) int {
	switch i / 50 % 10 {
	case 3:
		return 1
	case 7:
		return 2
	}
	return 0
}

// message is message i.
func message(i int) mailer.Message {
	return mailer.Message{
		ID:      "m" + strconv.Itoa(i),
		From:    mailer.Address{Address: "app@example.com"},
		To:      []mailer.Address{{Address: "r" + strconv.Itoa(i) + "@example.com"}},
		Subject: "Please confirm",
		Text:    "https://app.example/confirm?m=" + strconv.Itoa(i),
	}
}

// String says the phase in one line.
func (p Phase) String() string {
	s := fmt.Sprintf("%8s to %8s  %-6s  %s", clock(p.From), clock(p.To), names[p.Service], p.Mode)
	if p.RetryAfter > 0 {
		s += " " + p.RetryAfter.String()
	}
	return s
}

func clock(d time.Duration) string {
	return time.Time{}.Add(d).Format("15:04:05")
}
