package mangle

// Probe is the value of the field test, which the body of a test event has and no
// other. It holds what is written in another way by most programs that parse JSON and
// encode it again: a fraction of zero, a whole number that a float64 rounds, and a
// character that many escape. A receiver that does that before it verifies refuses
// every test.
const Probe = `{"probe":[1.0,9007199254740993,"` + "\u2028" + `"]}`
