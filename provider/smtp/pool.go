package smtp

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

// pool bounds the connections and keeps those without work, the last one used
// first. One idle connection is one goroutine, which waits for its end.
type pool struct {
	slots       chan struct{} // one for each connection in use
	handoff     chan *conn    // from one that is done to one that waits
	maxMessages int
	idleTimeout time.Duration

	mu     sync.Mutex
	idle   []*conn
	closed bool
}

func (p *pool) init(maxConns, maxMessages int, idleTimeout time.Duration) {
	p.slots = make(chan struct{}, maxConns)
	p.handoff = make(chan *conn)
	p.maxMessages = maxMessages
	p.idleTimeout = idleTimeout
}

// get waits for a slot, and returns a connection that was kept, or nil: dial one.
// Either way the slot is to be given back, with put or drop.
func (p *pool) get(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case p.slots <- struct{}{}:
	case c := <-p.handoff:
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			p.mu.Unlock()
			return nil, nil
		}
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		if c.wake() {
			return c, nil
		}
		c.close()
	}
}

// drop gives a slot back without a connection.
func (p *pool) drop() { <-p.slots }

// put gives a connection and its slot back.
func (p *pool) put(c *conn) {
	switch {
	case c.dead:
		c.close()
	case p.idleTimeout < 0 || c.messages >= p.maxMessages:
		c.quit()
	default:
		select {
		case p.handoff <- c:
			return // the slot goes with it
		default:
			p.park(c)
		}
	}
	<-p.slots
}

// park makes c idle: it is watched until it is woken, says something, ends, or has
// been idle for too long.
func (p *pool) park(c *conn) {
	_ = c.raw.SetReadDeadline(time.Now().Add(p.idleTimeout))
	c.watched = make(chan error, 1)
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		c.quit()
		return
	}
	p.idle = append(p.idle, c)
	p.mu.Unlock()
	go func() {
		_, err := c.br.Peek(1)
		if err == nil {
			err = errors.New("the server spoke unasked")
		}
		// First remove: once the watch is known to have ended, c may be idle again,
		// under another watch.
		if p.remove(c) {
			c.quit()
			return
		}
		c.watched <- err
	}()
}

// wake ends the watch of a connection that get has taken, and reports whether the
// connection is still good.
func (c *conn) wake() bool {
	_ = c.raw.SetReadDeadline(past)
	err := <-c.watched
	_ = c.raw.SetReadDeadline(time.Time{})
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// remove takes c out of the idle ones. False: somebody else has.
func (p *pool) remove(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, other := range p.idle {
		if other == c {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			return true
		}
	}
	return false
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, c := range idle {
		c.wake()
		c.quit()
	}
}
