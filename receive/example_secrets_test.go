package receive_test

import (
	"fmt"
	"log"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/receive"
)

// A rotation without a restart: the new secret is added first, and the old one
// dropped when the sender's overlap is over.
func ExampleReceiver_SetSecrets() {
	oldSecret, newSecret := receiverSecret, webhook.NewSecret()
	receiver, err := receive.New(receive.Config{Secrets: []webhook.Secret{oldSecret}})
	if err != nil {
		log.Fatal(err)
	}
	event := callCompleted("evt_1")
	event.secret = newSecret.Reveal()
	fmt.Println(serve(receiver, event.request()).Code)
	if err := receiver.SetSecrets(newSecret, oldSecret); err != nil {
		log.Fatal(err)
	}
	fmt.Println(serve(receiver, event.request()).Code)
	// Output:
	// 401
	// 200
}
