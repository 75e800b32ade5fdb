package providertest

import (
	"log/slog"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
)

// templateName is what the application calls its template. No service has it.
const templateName = "sign-up mail"

// testTemplates holds the names of templates that a configuration maps to the
// service's own.
func (s *suite) testTemplates(t *testing.T, h HTTP) {
	require.NotNil(t, h.Templates, "the service has templates, so HTTP.Templates is needed")
	m := s.message("template")
	ids := []string{m.Template.ID, another(m.Template.ID)}
	m.Template.ID = templateName
	start := func(t *testing.T, id string) (Service, mailer.Provider) {
		t.Helper()
		own := h
		own.New = func(baseURL string, client *http.Client) (mailer.Provider, error) {
			return h.Templates(baseURL, client, map[string]string{templateName: id, "another mail": ids[0]})
		}
		return s.start(t, own)
	}
	named := func(id string) mailer.Message {
		own := clone(m)
		own.Template.ID = id
		return own
	}

	t.Run("a name stands for the ID at the service", func(t *testing.T) {
		service, p := start(t, ids[1])
		require.NoError(t, s.check(t, p, m))
		r, err := s.send(t.Context(), t, service, p, m)
		require.NoError(t, err)
		q := s.only(t, service)
		s.says(t, q, named(ids[1]), r)
		require.False(t, contains(q, templateName), "the request says the application's name of the template")
	})
	t.Run("a name that is not known is the ID, or refused", func(t *testing.T) {
		service, p := start(t, ids[1])
		m := named("monthly")
		r, err := s.send(t.Context(), t, service, p, m)
		if err == nil {
			s.says(t, s.only(t, service), m, r)
			return
		}
		require.Zero(t, service.Traffic(), "there was traffic")
		require.Equal(t, mailer.KindUnsupported.String(), mailer.KindOf(err).String(), "the kind of: %v", err)
		require.Contains(t, err.Error(), "Template.ID")
	})
	t.Run("a message fails over to a service with another ID for the name", func(t *testing.T) {
		first, p := start(t, ids[0])
		second, q := start(t, ids[1])
		first.Behave("status 429 with seconds")
		chain, err := failover.New(failover.Config{Logger: slog.New(slog.DiscardHandler)}, failover.Target{Name: "first", Sender: p}, failover.Target{Name: "second", Sender: q})
		require.NoError(t, err)
		r, err := chain.Send(t.Context(), m)
		require.NoError(t, err)
		require.Len(t, r.Attempts, 2)
		for i, service := range []Service{first, second} {
			request := s.only(t, service)
			s.says(t, request, named(ids[i]), r)
			require.False(t, slices.ContainsFunc(request.Said, func(said Said) bool { return said.What == ids[1-i] }), "the request says the ID at the other service")
		}
	})
}

// another is an ID of the same form.
func another(id string) string {
	last := len(id) - 1
	return id[:last] + string(id[last]^1)
}
