package failover_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
)

func addresses(list ...string) (as []mailer.Address) {
	for _, a := range list {
		as = append(as, mailer.Address{Address: a})
	}
	return as
}

func TestByDomain(t *testing.T) {
	targets := infos(1, 1, 1)
	o := bound(t, &failover.ByDomain{Targets: map[string][]string{
		"mail.example":       {"b", "a"},
		".mail.example":      {"c"},
		".deep.mail.example": {"b"},
		"other.example":      {"b", "a"},
		"Bücher.Example":     {"c", "b"},
		"xn--mnchen-3ya.eu":  {"b"},
	}}, targets)
	const listed = "a b c"
	for _, c := range []struct {
		name        string
		to, cc, bcc []string
		want        string
	}{
		{"a domain that is listed", []string{"ada@mail.example"}, nil, nil, "b a"},
		{"in any case", []string{"ada@MAIL.eXample"}, nil, nil, "b a"},
		{"a domain that is not", []string{"ada@example.com"}, nil, nil, listed},
		{"one that ends alike", []string{"ada@hotmail.example"}, nil, nil, listed},
		{"one below it", []string{"ada@eu.mail.example"}, nil, nil, "c"},
		{"one far below it", []string{"ada@x.y.mail.example"}, nil, nil, "c"},
		{"the longest that fits counts", []string{"ada@x.deep.mail.example"}, nil, nil, "b"},
		{"what is below a domain is not the domain", []string{"ada@deep.mail.example"}, nil, nil, "c"},
		{"Unicode", []string{"ada@bücher.example"}, nil, nil, "c b"},
		{"Unicode in capitals", []string{"ada@BÜCHER.example"}, nil, nil, "c b"},
		{"Unicode decomposed", []string{"ada@bu\u0308cher.example"}, nil, nil, "c b"},
		{"punycode of Unicode", []string{"ada@xn--bcher-kva.example"}, nil, nil, "c b"},
		{"Unicode of punycode", []string{"ada@münchen.eu"}, nil, nil, "b"},
		{"an @ in the local part", []string{`"a@x.example"@mail.example`}, nil, nil, "b a"},
		{"several of one domain", []string{"ada@mail.example", "bob@mail.example"}, []string{"cy@MAIL.example"}, nil, "b a"},
		{"several domains with one list", []string{"ada@mail.example"}, nil, []string{"bob@other.example"}, "b a"},
		{"several lists", []string{"ada@mail.example", "bob@eu.mail.example"}, nil, nil, listed},
		{"one of them is not listed", []string{"ada@mail.example"}, []string{"bob@example.com"}, nil, listed},
		{"one in Bcc is not listed", []string{"ada@mail.example"}, nil, []string{"bob@example.com"}, listed},
		{"the last is listed", []string{"ada@example.com", "bob@mail.example"}, nil, nil, listed},
		{"nobody", nil, nil, nil, listed},
		{"no domain", []string{"ada"}, nil, nil, listed},
		{"an empty domain", []string{"ada@"}, nil, nil, listed},
		{"dots only", []string{"ada@..."}, nil, nil, listed},
		{"a domain that is none", []string{"ada@\u00a0ü.mail.example"}, nil, nil, listed},
		{"a domain without end", []string{"ada@" + strings.Repeat("x.", 4000) + "mail.example"}, nil, nil, listed},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := mailer.Message{To: addresses(c.to...), Cc: addresses(c.cc...), Bcc: addresses(c.bcc...)}
			require.Equal(t, c.want, ordered(t, o, m, targets))
		})
	}
}

func TestByDomainLeavesTheRestToAnotherOrder(t *testing.T) {
	budget := &failover.Budget{Allow: map[string]failover.Allowance{"a": {Day: 1}}}
	a, b := &service{name: "a"}, &service{name: "b"}
	c := chainOf(t, failover.Config{Order: &failover.ByDomain{Targets: map[string][]string{"mail.example": {"b"}}, Else: budget}}, a, b)
	m := message()
	m.To = addresses("ada@mail.example")
	r, err := c.Send(t.Context(), m)
	require.NoError(t, err)
	require.Equal(t, "b", way(r.Attempts))
	require.Equal(t, "a", via(t, c))
	require.Equal(t, "b", via(t, c), "the Order inside keeps its account")
}

func TestByDomainTriesNobodyElse(t *testing.T) {
	a, b := &service{name: "a"}, &service{name: "b"}
	c := chainOf(t, failover.Config{Order: &failover.ByDomain{Targets: map[string][]string{"mail.example": {"b"}}}}, a, b)
	b.fails(refused(mailer.KindUnavailable))
	m := message()
	m.To = addresses("ada@mail.example")
	_, err := c.Send(t.Context(), m)
	require.ErrorIs(t, err, mailer.KindUnavailable)
	require.Zero(t, a.calls())
}

func TestByDomainRefuses(t *testing.T) {
	for want, targets := range map[string]map[string][]string{
		`ByDomain: "" is no domain`:                            {"": {"a"}},
		`ByDomain: "." is no domain`:                           {".": {"a"}},
		`ByDomain: "..mail.example" is no domain`:              {"..mail.example": {"a"}},
		`ByDomain: "ada@mail.example" is no domain`:            {"ada@mail.example": {"a"}},
		`ByDomain: "mail example" is no domain`:                {"mail example": {"a"}},
		`ByDomain: "mail.example": there is no target "z"`:     {"mail.example": {"a", "z"}},
		`ByDomain: "mail.example" has no target`:               {"mail.example": {}},
		`ByDomain: "mail.example" stands there twice`:          {"mail.example": {"a"}, "MAIL.example": {"b"}},
		`ByDomain: "xn--bcher-kva.example" stands there twice`: {"xn--bcher-kva.example": {"a"}, "bücher.example": {"b"}},
		`Warm: a Share of 0 does not go with 2 targets`:        nil,
	} {
		t.Run(want, func(t *testing.T) {
			o := &failover.ByDomain{Targets: targets}
			if targets == nil {
				o.Else = &failover.Warm{}
			}
			_, err := failover.New(failover.Config{Order: o}, &service{name: "a"}, &service{name: "b"})
			require.EqualError(t, err, "failover: Order: "+want)
		})
	}
}
