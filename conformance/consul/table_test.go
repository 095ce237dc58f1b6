package consul_test

// refused are the tests of the suite that do not pass, and why. docs/protocols/consul.md says the same in words.
var refused = map[string]string{}
