package scheduler

import "time"

// ReadStored reads a definition as it lies in the bucket of jobs, whoever put
// it there, and sets State and Reason as a reply has them. Anchor and Activated
// are zero where the job begins anew: the revision's time takes their place.
// The error, an *Error, is why a scheduler takes it for ReasonInvalid.
func ReadStored(key string, data []byte) (*Job, error) {
	j, _, err := parseStored(key, data)
	if err != nil {
		return nil, apiError(err)
	}
	if !j.Enabled() {
		j.State = StateInactive
		if j.Reason == "" { // put so by hand
			j.Reason = ReasonDeactivated
		}
		return j, nil
	}
	j.State = StateActive
	if j.Reason != "" { // somebody has made it active by hand
		j.Reason, j.Anchor, j.Activated = "", time.Time{}, time.Time{}
	}
	return j, nil
}
