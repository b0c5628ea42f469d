package mangle

import (
	"bytes"
	"encoding/binary"
	"iter"
	"unicode/utf16"
	"unicode/utf8"
)

// windows1252 are the characters of 0x80 to 0x9f, in which Windows-1252 differs from
// Latin-1. The five that it does not define stay as they are.
var windows1252 = [32]rune{
	'€', 0x81, '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', 0x8d, 'Ž', 0x8f,
	0x90, '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', 0x9d, 'ž', 'Ÿ',
}

// fromLatin1Text undoes that UTF-8 was decoded as Latin-1 or Windows-1252 and encoded
// as UTF-8.
func fromLatin1Text(s subject) iter.Seq[[]byte] { return one(asSingleBytes(s.body)) }

// asSingleBytes has one byte for each character of text. It is nil if there are others
// than these charsets have, if nothing changes, or if the result is not UTF-8.
func asSingleBytes(text []byte) []byte {
	if !utf8.Valid(text) || isASCII(text) {
		return nil
	}
	out := make([]byte, 0, len(text))
	for _, r := range string(text) {
		b, ok := singleByte(r)
		if !ok {
			return nil
		}
		out = append(out, b)
	}
	if !utf8.Valid(out) {
		return nil
	}
	return out
}

func singleByte(r rune) (byte, bool) {
	if r <= 0xff {
		return byte(r), true // #nosec G115 -- at most 0xff
	}
	for i, w := range windows1252 {
		if r == w {
			return byte(0x80 + i), true
		}
	}
	return 0, false
}

// fromLatin1Bytes undoes that text was encoded with a byte for each character.
func fromLatin1Bytes(s subject) iter.Seq[[]byte] {
	if utf8.Valid(s.body) || bytes.IndexByte(s.body, 0) >= 0 {
		return one(nil)
	}
	decode := func(table bool) (out []byte) {
		for _, b := range s.body {
			r := rune(b)
			if table && b >= 0x80 && b < 0xa0 {
				r = windows1252[b-0x80]
			}
			out = utf8.AppendRune(out, r)
		}
		return out
	}
	return each(decode(true), decode(false))
}

// fromUTF16 reads both orders of bytes, with a mark or without.
func fromUTF16(s subject) iter.Seq[[]byte] {
	if len(s.body)%2 != 0 || bytes.IndexByte(s.body, 0) < 0 && (len(s.body) == 0 || s.body[0] < 0xfe) {
		return one(nil)
	}
	decode := func(order binary.ByteOrder) []byte {
		units := make([]uint16, len(s.body)/2)
		for i := range units {
			units[i] = order.Uint16(s.body[2*i:])
		}
		if len(units) > 0 && units[0] == 0xfeff {
			units = units[1:]
		}
		return []byte(string(utf16.Decode(units)))
	}
	return each(decode(binary.LittleEndian), decode(binary.BigEndian))
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
