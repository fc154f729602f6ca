package scheduler

import (
	"context"
	"encoding/json"

	"github.com/bellhop-run/bellhop/workers"
)

// runRequest is what the verb run is asked; all but the name is optional.
type runRequest struct {
	name    string
	payload json.RawMessage // in place of the job's
	binary  []byte          // in place of payload, if it is not nil
	ring    workers.Ring
}

func readRunRequest(data []byte) (q runRequest, err error) {
	err = readArguments(data, func(f field) error { return q.read(f) })
	if err == nil && q.payload != nil && q.binary != nil {
		err = invalid("payload_base64", "send only one", "there are two payloads")
	}
	return q, err
}

func (q *runRequest) read(f field) (err error) {
	switch f.name {
	case "name":
		q.name, err = text(f.value)
	case "payload":
		q.payload = f.value
	case "payload_base64":
		if q.binary, err = parseBase64(f.value); q.binary == nil {
			q.binary = []byte{}
		}
	case "id":
		q.ring.ID, err = text(f.value)
	case "source":
		q.ring.Source, err = text(f.value)
	case "parent":
		q.ring.Parent, err = text(f.value)
	case "depth":
		err = json.Unmarshal(f.value, &q.ring.Depth)
	case "reason":
		q.ring.Reason, err = text(f.value)
	case "attempts":
		err = json.Unmarshal(f.value, &q.ring.Attempts)
	case "headers":
		err = json.Unmarshal(f.value, &q.ring.Header)
	default:
		return errUnknownField
	}
	return err
}

// body is what the service is given.
func (q *runRequest) body(j *Job) ([]byte, error) {
	switch {
	case q.binary != nil:
		return q.binary, nil
	case q.payload != nil:
		j.Payload, j.PayloadBase64 = q.payload, nil
	}
	return j.Bytes()
}

// run rings a job's service now, also when the job is inactive. With an id it
// may be asked again: within ten minutes that is the same ring. What follows on
// another run names it as its parent, and is on channel chain.
func (v *verbs) run(ctx context.Context, data []byte) ([]byte, error) {
	q, err := readRunRequest(data)
	if err != nil {
		return nil, err
	}
	p, err := v.must(ctx, q.name)
	if err != nil {
		return nil, err
	}
	if p.err != nil {
		return nil, &Error{Code: 409, Message: "the stored definition is invalid: " + p.err.Error(), Hint: "correct it first"}
	}
	r := q.ring
	if r.Payload, err = q.body(p.job); err != nil {
		return nil, located("payload", err)
	}
	r.Channel, r.Service, r.Job, r.Policy = workers.ChannelManual, p.job.Service, p.key, p.job.policy()
	if r.Parent != "" {
		r.Channel = workers.ChannelChain
	}
	id, err := v.ring.Ring(ctx, r)
	if err != nil {
		return nil, err
	}
	return json.Marshal(struct {
		Run string `json:"run"`
	}{id})
}
