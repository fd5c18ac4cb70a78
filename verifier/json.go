package verifier

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// maxDepth is how deep objects and arrays may nest. Claims sets are flat; what
// nests deeper was made to exhaust somebody's stack.
const maxDepth = 32

// decodeObject reads data as exactly one JSON object, and refuses whatever two
// readers could understand differently: duplicate members (also where only their
// escaped spellings differ), invalid UTF-8, surrogates that pair with nothing, and
// data after the end. Numbers stay as they were written.
func decodeObject(data []byte) (map[string]any, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("is not valid UTF-8")
	}
	var o outline
	if err := o.trace(data); err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var object map[string]any
	// The decoder's own words would quote what it stumbled over.
	if decoder.Decode(&object) != nil || object == nil {
		return nil, errors.New("is not a JSON object")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("has data after its end")
	}
	// encoding/json lets the last of two equal members win without a word. Then
	// fewer members are left than were written.
	if countMembers(object) != o.members {
		return nil, errors.New("has a member twice")
	}
	return object, nil
}

// decodeMembers reads data as exactly one JSON object of which no member comes twice. It
// leaves the values alone.
func decodeMembers(data []byte) (map[string]json.RawMessage, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	members := make(map[string]json.RawMessage)
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	for decoder.More() {
		name, err := decoder.Token()
		text, ok := name.(string)
		var value json.RawMessage
		if err != nil || !ok || decoder.Decode(&value) != nil {
			return nil, errors.New("not a JSON object")
		}
		if _, ok := members[text]; ok {
			return nil, errors.New("a member twice")
		}
		members[text] = value
	}
	if _, err := decoder.Token(); err != nil {
		return nil, errors.New("not a JSON object")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("data after its end")
	}
	return members, nil
}

func countMembers(v any) int {
	count := 0
	switch v := v.(type) {
	case map[string]any:
		count = len(v)
		for _, member := range v {
			count += countMembers(member)
		}
	case []any:
		for _, element := range v {
			count += countMembers(element)
		}
	}
	return count
}

// An outline is what can be seen of a JSON text without understanding it. Whether
// the text is JSON at all is for encoding/json to say.
type outline struct {
	members int // name-value pairs, at all depths
	depth   int
}

func (o *outline) trace(data []byte) error {
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			length, err := skipString(data[i+1:])
			if err != nil {
				return err
			}
			i += length
		case ':':
			o.members++
		case '{', '[':
			if o.depth++; o.depth > maxDepth {
				return fmt.Errorf("nests deeper than %d", maxDepth)
			}
		case '}', ']':
			o.depth--
		}
	}
	return nil
}

// skipString returns the length of the string that data starts inside of, with its
// closing quotation mark. It refuses a \u escape that is half of a surrogate pair
// without the other half: encoding/json reads each such half as U+FFFD, so that two
// different subjects would become one.
func skipString(data []byte) (int, error) {
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			return i + 1, nil
		case '\\':
			unit := escapedUnit(data[i:])
			if unit>>11 == 0xD800>>11 {
				if unit >= 0xDC00 || escapedUnit(data[i+6:])>>10 != 0xDC00>>10 {
					return 0, errors.New("holds half of a surrogate pair")
				}
				i += 6
			}
			i++ // what is escaped is no quotation mark
		}
	}
	return len(data), nil
}

// escapedUnit returns the code unit of the \uXXXX that data starts with, or -1.
func escapedUnit(data []byte) int {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return -1
	}
	unit := 0
	for _, c := range data[2:6] {
		switch {
		case '0' <= c && c <= '9':
			unit = unit<<4 | int(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			unit = unit<<4 | int(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	return unit
}
