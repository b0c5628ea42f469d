// Package rows fuzzes what the stores read. It is a package of its own because a
// fuzz target is compiled with all that its package imports, for itself alone: of
// the drivers it needs one.
package rows
