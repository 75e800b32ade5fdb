package middleware

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/seed355143d4/mailer"
)

// Log writes one line for every message: at level Info if a service took it, Warn
// if not, and Error if only a human can mend it ([mailer.KindSender],
// [mailer.KindUnauthorized]). A batch gets a line for each message that failed
// and one for all that were taken.
//
// The lines carry the message's ID, the service and its id, the kind, status and
// code of a failure, whether the message may have gone out, the duration and the
// number of attempts and of refused recipients; but no address, no subject, no
// body and no words of a service. A nil logger is slog.Default(), as it is when
// Log is called.
func Log(logger *slog.Logger) func(mailer.Sender) mailer.Sender {
	if logger == nil {
		logger = slog.Default()
	}
	one := func(ctx context.Context, o Observation) {
		if o.Err != nil {
			logFailure(ctx, logger, o)
			return
		}
		attrs := []slog.Attr{
			slog.String("message_id", o.Receipt.ID),
			slog.String("provider", o.Receipt.Provider),
			slog.String("provider_message_id", o.Receipt.MessageID),
			slog.Duration("duration", o.Duration),
		}
		if n := len(o.Receipt.Attempts); n > 1 {
			attrs = append(attrs, slog.Int("attempts", n))
		}
		if n := len(o.Receipt.Rejected); n > 0 {
			attrs = append(attrs, slog.Int("rejected", n))
		}
		logger.LogAttrs(ctx, slog.LevelInfo, "mail taken", attrs...)
	}
	return func(s mailer.Sender) mailer.Sender {
		single := Observe(one)(s)
		batch := func(ctx context.Context, ms []mailer.Message) []mailer.Result {
			var taken, rejected int
			var last Observation
			results := mailer.SendAll(ctx, Observe(func(ctx context.Context, o Observation) {
				last = o
				if o.Err != nil {
					logFailure(ctx, logger, o)
					return
				}
				taken++
				rejected += len(o.Receipt.Rejected)
			})(s), ms)
			if taken > 0 {
				logger.LogAttrs(ctx, slog.LevelInfo, "batch taken", slog.Int("taken", taken), slog.Int("failed", len(ms)-taken),
					slog.Int("rejected", rejected), slog.Duration("duration", last.Duration))
			}
			return results
		}
		return Wrap(s, single.Send, batch)
	}
}

func logFailure(ctx context.Context, logger *slog.Logger, o Observation) {
	kind := mailer.KindOf(o.Err)
	attrs := []slog.Attr{
		slog.String("message_id", loggable(o.Message.ID)),
		slog.String("kind", kind.String()),
		slog.Bool("not_sent", mailer.NotSent(o.Err)),
		slog.Duration("duration", o.Duration),
	}
	if e, ok := errors.AsType[*mailer.Error](o.Err); ok && e != nil {
		attrs = append(attrs, slog.String("provider", e.Provider))
		if e.Status != 0 {
			attrs = append(attrs, slog.Int("status", e.Status))
		}
		if e.Code != "" {
			attrs = append(attrs, slog.String("code", loggable(e.Code)))
		}
	}
	level := slog.LevelWarn
	if kind == mailer.KindSender || kind == mailer.KindUnauthorized {
		level = slog.LevelError
	}
	logger.LogAttrs(ctx, level, "mail not taken", attrs...)
}

// loggable is s if it looks like an ID or a code. A message that was refused
// because of its ID may hold anything there.
func loggable(s string) string {
	if len(s) > 64 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '@' }) {
		return "(unprintable)"
	}
	return s
}
