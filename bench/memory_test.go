package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"
)

func init() { children["memory"] = memory }

const (
	memorySubject = "MAILER_BENCH_SUBJECT"
	memorySenders = 8
)

// memorySubjects are every HTTP adapter, and two vendors' packages.
var memorySubjects = []subject{
	postmarkAdapter, sendgridAdapter, sesAdapter, socketlabsAdapter, mailjetAdapter, smtp2goAdapter, elasticEmailAdapter,
	sendgridGo, postmarkMRZ,
}

// BenchmarkMemory10MB reports the resident memory that eight senders of a 10 MB
// file add to a process which has its connections and has sent small mails
// before. Each measurement is a process of its own. It needs Linux.
func BenchmarkMemory10MB(b *testing.B) {
	for _, s := range memorySubjects {
		b.Run(s.name, func(b *testing.B) {
			worst := 0.0
			for b.Loop() {
				cmd, out, err := startChild("memory", memorySubject+"="+s.name, "MAILER_BENCH_BASE="+base)
				if err != nil {
					b.Fatal(err)
				}
				var kb int
				_, scanErr := fmt.Fscan(out, &kb)
				if err := cmd.Wait(); err != nil || scanErr != nil {
					b.Fatal(err, scanErr)
				}
				worst = max(worst, float64(kb)/1024)
			}
			b.ReportMetric(worst, "MB-added")
		})
	}
}

func memory() {
	base = os.Getenv("MAILER_BENCH_BASE")
	for _, s := range memorySubjects {
		if s.name != os.Getenv(memorySubject) {
			continue
		}
		size := 10_000_000
		if s.name == "mailer-postmark" {
			size = 7_000_000 // Postmark takes 10 MB with the base64
		}
		file := make([]byte, size)
		for i := range file {
			file[i] = byte(i * i >> 7)
		}
		small, err := s.prepare(file[:100_000])
		check(err)
		large, err := s.prepare(file)
		check(err)
		all := func(n int, send func(context.Context) error) {
			var wg sync.WaitGroup
			for range memorySenders {
				wg.Go(func() {
					for range n {
						check(send(context.Background()))
					}
				})
			}
			wg.Wait()
		}
		all(20, small)
		debug.FreeOSMemory()
		check(os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)) // the peak begins anew
		before := status("VmRSS:")
		all(3, large)
		fmt.Println(status("VmHWM:") - before)
	}
}

// status reads a line of this process's status, in kB.
func status(name string) int {
	b, err := os.ReadFile("/proc/self/status")
	check(err)
	_, rest, _ := bytes.Cut(b, []byte(name))
	n, err := strconv.Atoi(string(bytes.Fields(rest)[0]))
	check(err)
	return n
}
