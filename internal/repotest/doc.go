// Package repotest holds the tests of the repository: what may import what, what
// the root may hold, what the modules require, and that the documentation says
// what the code does. It has no code of its own.
package repotest
