// Package browser tests the dashboard in a real browser: Debian's Chromium, one for all
// tests, each in a context of its own. Every page that a test opens is watched: a request
// to anything but the handler, a report of the Content-Security-Policy, a word in the
// console or a dialog fails the test.
//
// axe-core comes from npm: run `npm ci` in the folder js. Without it, or without
// Chromium, the tests are skipped, but for CI.
//
// WEBHOOK_SCREENSHOTS=1 makes the pictures of docs/images anew.
package browser
