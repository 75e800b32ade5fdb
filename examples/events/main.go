// Command events is the registration example, grown by one step: it hears what
// became of its mails. Both embedded services report events to it as the real
// ones do; it shows them beside each mail, in the inbox and on the status page,
// and keeps further mail from an address that bounced or complained.
//
//	go run ./examples/events
//
// and open http://127.0.0.1:8080/. Sign up, and let the mail bounce or the
// recipient complain at the push of a button on the status page; then sign up
// with the same address again. Nothing leaves the machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *addr); err != nil {
		log.Fatal(err)
	}
}

// run serves the application until ctx ends.
func run(ctx context.Context, addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("%w (choose another address with -addr)", err)
	}
	base := "http://" + l.Addr().String()
	a, err := newApp(base)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer a.Close()
	srv := &http.Server{
		Handler:           a.routes(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx }, // ends the inbox's live streams
	}
	go func() {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		defer cancel()
		srv.Shutdown(end)
	}()
	fmt.Printf("Sign up at %s/ with any address. Stop with Ctrl-C.\n", base)
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
