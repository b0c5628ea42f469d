// Command benchmarks measures the library beside a bare loop of POST requests
// and beside River, on the same work in one run, and prints Markdown tables
// with the ratios to both. README.md says how to run it and what each scenario
// measures.
//
// It is a module of its own, which nothing imports, so that what it needs never
// reaches users of the library.
package main
