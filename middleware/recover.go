package middleware

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"

	"github.com/seed355143d4/mailer"
)

// Recover makes an error of a panic in the Sender. The error is a [*mailer.Error]
// of [mailer.KindUnknown] whose NotSent is false, since nobody knows how far the
// Sender came; after a panic in a batch every message of it gets that error.
//
// The panic is logged at level Error with its stack. Its value is logged only if
// it is an error of the Go run time; anything else might hold an address or a
// key, and only its type is told. A nil logger is slog.Default(), as it is when
// Recover is called.
func Recover(logger *slog.Logger) func(mailer.Sender) mailer.Sender {
	if logger == nil {
		logger = slog.Default()
	}
	caught := func(ctx context.Context, v any) error {
		words := fmt.Sprintf("a panic of type %T", v)
		if e, ok := v.(runtime.Error); ok {
			words = "a panic: " + e.Error()
		}
		logger.LogAttrs(ctx, slog.LevelError, "mailer: "+words, slog.String("stack", string(debug.Stack())))
		return &mailer.Error{Message: words}
	}
	return func(s mailer.Sender) mailer.Sender {
		send := func(ctx context.Context, m mailer.Message) (receipt mailer.Receipt, err error) {
			defer func() {
				if v := recover(); v != nil {
					receipt, err = mailer.Receipt{ID: m.ID}, caught(ctx, v)
				}
			}()
			return s.Send(ctx, m)
		}
		batch := func(ctx context.Context, ms []mailer.Message) (results []mailer.Result) {
			defer func() {
				if v := recover(); v != nil {
					err := caught(ctx, v)
					results = make([]mailer.Result, len(ms))
					for i := range results {
						results[i] = mailer.Result{Receipt: mailer.Receipt{ID: ms[i].ID}, Err: err}
					}
				}
			}()
			return mailer.SendAll(ctx, s, ms)
		}
		return Wrap(s, send, batch)
	}
}
