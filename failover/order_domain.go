package failover

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"github.com/seed355143d4/mailer"
)

// ByDomain is an [Order] that chooses the targets by the domain of the recipients:
// for a service that one mailbox provider likes better, or for mail that has to
// stay in one region. It is for one Chain, safe for use by many goroutines, and
// must not be changed or copied after New.
type ByDomain struct {
	// Targets holds, by domain, the names of the targets to be tried, the
	// preferred first. They are all that is tried, so one name alone has no
	// failover. "example.com" is that domain only; ".example.com" is all below it,
	// at any depth; the longest that fits counts. Domains are compared without
	// regard to case, and as Unicode or punycode alike.
	Targets map[string][]string
	// Else orders the targets for all other messages: those to no domain of
	// Targets, and those whose recipients (To, Cc and Bcc) do not all have the
	// same list there. Nil: as they are listed.
	Else Order

	bound  atomic.Bool
	byName map[string]int // the key in ASCII and lower case, to a place in routes
	routes [][]int
}

// Bind implements [Binder]. It refuses domains and names that do not exist, an
// empty list, and to serve two chains.
func (o *ByDomain) Bind(targets []TargetInfo) error {
	if o.bound.Swap(true) {
		return errors.New("ByDomain: is in use by another chain")
	}
	places := make(map[string]int, len(targets))
	for i, t := range targets {
		places[t.Name] = i
	}
	o.byName = make(map[string]int, len(o.Targets))
	for _, key := range slices.Sorted(maps.Keys(o.Targets)) {
		dot, domain := "", key
		if strings.HasPrefix(key, ".") {
			dot, domain = ".", key[1:]
		}
		ascii, ok := asciiDomain(domain)
		if !ok {
			return fmt.Errorf("ByDomain: %q is no domain", key)
		}
		if _, twice := o.byName[dot+ascii]; twice {
			return fmt.Errorf("ByDomain: %q stands there twice", dot+ascii)
		}
		var route []int
		for _, name := range o.Targets[key] {
			place, ok := places[name]
			if !ok {
				return fmt.Errorf("ByDomain: %q: there is no target %q", key, name)
			}
			route = append(route, place)
		}
		if len(route) == 0 {
			return fmt.Errorf("ByDomain: %q has no target", key)
		}
		at := slices.IndexFunc(o.routes, func(r []int) bool { return slices.Equal(r, route) })
		if at < 0 {
			at = len(o.routes)
			o.routes = append(o.routes, route)
		}
		o.byName[dot+ascii] = at
	}
	return bind(o.Else, targets)
}

// Order implements [Order].
func (o *ByDomain) Order(dst []int, m mailer.Message, targets []TargetInfo) ([]int, error) {
	if route := o.route(&m); route >= 0 {
		return append(dst, o.routes[route]...), nil
	}
	return arranged(o.Else, dst, m, targets)
}

// Begin implements [Ledger] for Else.
func (o *ByDomain) Begin(target int, m mailer.Message) bool { return begin(o.Else, target, &m) }

// End implements [Ledger] for Else.
func (o *ByDomain) End(target int, m mailer.Message, err error) { end(o.Else, target, &m, err) }

// route finds the one route of all recipients. -1: there is none.
func (o *ByDomain) route(m *mailer.Message) int {
	common := -1
	for _, list := range [...][]mailer.Address{m.To, m.Cc, m.Bcc} {
		for _, a := range list {
			route := o.lookup(a.Address[strings.LastIndexByte(a.Address, '@')+1:])
			if route < 0 || common >= 0 && route != common {
				return -1
			}
			common = route
		}
	}
	return common
}

// lookup finds the route for a domain. -1: there is none.
func (o *ByDomain) lookup(domain string) int {
	var room [255]byte
	name, ok := lowerASCII(room[:0], domain)
	if !ok {
		ascii, ok := asciiDomain(domain)
		if !ok {
			return -1
		}
		name = append(room[:0], ascii...)
	}
	if route, ok := o.byName[string(name)]; ok {
		return route
	}
	for i, c := range name {
		if c == '.' {
			if route, ok := o.byName[string(name[i:])]; ok {
				return route
			}
		}
	}
	return -1
}

// lowerASCII appends s in lower case to dst, unless it has characters outside
// ASCII or is too long for a domain.
func lowerASCII(dst []byte, s string) ([]byte, bool) {
	if len(s) > 253 {
		return nil, false
	}
	for i := range len(s) {
		c := s[i]
		if c >= 0x80 {
			return nil, false
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst, true
}

// asciiDomain returns a domain as adapters write it: punycode, in lower case.
func asciiDomain(s string) (string, bool) {
	ascii, err := idna.Registration.ToASCII(norm.NFC.String(strings.ToLower(s)))
	if err != nil || ascii == "" || len(ascii) > 253 || strings.HasPrefix(ascii, ".") {
		return "", false
	}
	return strings.ToLower(ascii), true
}

// What follows passes on to an Order inside another. Nil: the targets as listed.

func bind(o Order, targets []TargetInfo) error {
	if b, ok := o.(Binder); ok {
		return b.Bind(targets)
	}
	return nil
}

func arranged(o Order, dst []int, m mailer.Message, targets []TargetInfo) ([]int, error) {
	if o != nil {
		return o.Order(dst, m, targets)
	}
	for i := range targets {
		dst = append(dst, i)
	}
	return dst, nil
}

func begin(o Order, target int, m *mailer.Message) bool {
	l, ok := o.(Ledger)
	return !ok || l.Begin(target, *m)
}

func end(o Order, target int, m *mailer.Message, err error) {
	if l, ok := o.(Ledger); ok {
		l.End(target, *m, err)
	}
}
