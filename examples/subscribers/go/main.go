// Reads Slipway's events from NATS with the plain client: go run . What the environment holds is what `slipway subscribers add` said.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func main() {
	client, err := nats.Connect(os.Getenv("NATS_URL"),
		nats.UserInfo(os.Getenv("NATS_USER"), os.Getenv("NATS_PASSWORD")),
		nats.CustomInboxPrefix(os.Getenv("NATS_INBOX_PREFIX")), // the only place where this user may hear answers
		nats.MaxReconnects(-1))
	if err != nil {
		log.Fatal(err)
	}
	stream, err := jetstream.New(client)
	if err != nil {
		log.Fatal(err)
	}
	consumer, err := stream.Consumer(context.Background(), os.Getenv("NATS_STREAM"), os.Getenv("NATS_CONSUMER"))
	if err != nil {
		log.Fatal(err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		log.Fatal(err)
	}
	out := json.NewEncoder(os.Stdout)
	for {
		message, err := messages.Next()
		if err != nil {
			log.Fatal(err)
		}
		if err := handle(out, message); err != nil {
			log.Fatal(err)
		}
		if err := message.Ack(); err != nil { // only now is it done: a crash before this brings it again
			log.Print(err)
		}
	}
}

// At least once: the same event may come twice, under the same ce-id.
func handle(out *json.Encoder, message jetstream.Msg) error {
	headers := message.Headers()
	return out.Encode(map[string]string{"id": headers.Get("ce-id"), "type": headers.Get("ce-type"), "subject": message.Subject()})
}
