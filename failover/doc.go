// Package failover sends through the first of several services that will take a
// message, and is safe to leave on.
//
// A [Chain] is a [mailer.Sender] over other Senders, its targets, in the order
// of preference. Whether the next target may be tried is decided by whose fault
// a failure was, its [mailer.Kind], and by whether the message may be out
// already, [mailer.NotSent]:
//
//	Kind          whose fault          the chain                    the target
//	Invalid       message              stops                        -
//	Rejected      message or set-up    next                         refusal
//	Unsupported   message              next                         -
//	TooLarge      message              next                         -
//	Content       message              next                         refusal
//	Recipient     recipient            stops                        -
//	Sender        account              next, logged as an error     refusal
//	Unauthorized  account              next                         rests
//	Quota         account              next                         rests
//	RateLimited   account              next                         rests
//	Unavailable   service              next                         strike
//	Network       network              next                         strike
//	Canceled      caller               stops                        -
//	Unknown       nobody knows         next                         refusal
//
// Above the table stands one rule that no kind and no [Config].Decide overrides:
// after a failure that is not NotSent the chain stops, since the message may be
// out, and going on could send it twice. Only a message with AllowDuplicate goes
// on to the next target then; the attempts after that are marked
// PossibleDuplicate. An error that is no [*mailer.Error] is never NotSent.
//
// # Health
//
// A target rests after three strikes, or at once where the table says so: for the
// time that the service named (at most a day), otherwise for a back-off that doubles
// from [Config].Rest to [Config].MaxRest. While it rests, mail goes to the others.
// After the rest one message at a time tries it; the others pass it by. If the
// service takes that message, the target is well, and mail prefers it again as
// before; but one strike then lets it rest again, and for longer than the last time.
// Strikes and rests are forgotten when it has taken fifty messages in a row. A fault
// of the message, or a caller who gives up, says nothing: the next message tries. So
// a bad message never takes a good service out.
//
// A refusal is the message's fault until another target takes that message. Of
// such refusals [Config].Refusals in a row, of different messages and with none
// taken in between, are the service's fault: it rests then. One message that is
// tried again and again, under the same ID or with the same content, counts once,
// and only against the target that refused it first: a backup, which sees nothing
// but what others refused, is not judged by that. The probe afterwards lets the
// service rest longer if yet another message is refused.
//
// A target that has answered none of as many messages under way as would be strikes,
// for longer than is usual for it, is silent: other messages pass it by until it answers, or comes to
// rest for the messages that it left without an answer. So a service that hangs
// holds up few messages, however long its time-out is. What is usual is reckoned
// from how long its answers took, mean and deviation, as TCP does, between half a
// second and three; until eight are known, and for batch calls, it is three.
//
// A target that rests because a message may be out, and not for a clear answer, is
// asked before it is given the next one, if it is a [mailer.Verifier]: for half of
// the attempt's time, at most five seconds. While it does not answer even that, or
// answers KindUnavailable, it rests on, and no message is at stake. Any other answer
// lets the message try, also that the key may not ask; and KindUnavailable lets it if
// no other target may be tried.
//
// If no target may be tried because all rest or are being probed, one that is only
// silent is tried anyway, or else the one that wakes first, except those whose
// service named a time that lies ahead. Success brings it back, failure does not
// count against it. If all named a time, Send returns an error without traffic:
// NotSent, with the earliest RetryAfter. When the targets that are well have failed
// a message, those that rest are tried for it as well, each once, but only those
// that rest for a clear answer, or for none and can be asked first: others would
// leave the outcome unknown.
//
// # Order, rate and company
//
// [Config].Order says for each message which targets are tried, and in which
// order; what the chain knows of their health holds in any order. A [Target] with
// a Limiter is given no more messages than that allows: others wait for at most
// MaxWait and then go on to the next target. A [Target] with Retries is tried
// again, after a wait, before the next one is. [Config].Store tells the chains of
// other processes who rests.
//
// # Many at once
//
// [Chain.SendBatch], and so [mailer.SendAll], sends many messages by the targets'
// batch calls. What one target refuses is put together for the next, one bad
// message of five hundred costs that message only, and each message is handed over
// at most once, as above.
//
// # Time
//
// A caller's deadline is shared out, so that a first target that hangs leaves
// time for the next: an attempt gets what is left divided by the targets that
// may still be tried, but five seconds if they are no more than half of what is
// left. The last target gets all that is left. [Target].Timeout limits an attempt
// further. Without a deadline each attempt has [Config].AttemptTimeout.
//
// An attempt that runs out of its time is a strike if that time was a second or
// more, or the whole of the time set for the target. A caller in a greater hurry
// learns nothing about the service.
package failover
