package bench

import "context"

// broker gives the URL of the RabbitMQ of --amqp; none is started here. Why there
// is none is text for people.
func (e *Env) broker(context.Context) (url, none string, end func(), err error) {
	if e.amqp == "" {
		return "", "there is no RabbitMQ: name one with --amqp", nil, nil
	}
	return e.amqp, "", func() {}, nil
}
