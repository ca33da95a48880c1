package wire

import "fmt"

// A SyntaxError says where a text is not JSON, in the words of encoding/json.
type SyntaxError struct {
	Offset  int // bytes up to the fault, with the byte at fault if there is one
	Message string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.Message, e.Offset) }

// A TypeError says that a value is not of the type that its place wants.
type TypeError struct {
	Path      string // such as messages[0].content; "": the whole text
	Want, Got string // in JSON's words: "an integer", "number 3.5"
	Offset    int    // bytes up to the end of the value; 0: not known
}

func (e *TypeError) Error() string {
	subject := e.Path
	if subject == "" {
		subject = "the body"
	}
	text := fmt.Sprintf("%s: want %s, got %s", subject, e.Want, e.Got)
	if e.Offset > 0 {
		text += fmt.Sprintf(" at byte %d", e.Offset)
	}
	return text
}

// A TwinError says that an object has the same name twice. RFC 8259, section 4, leaves open what
// such an object means, and readers differ, so it is refused.
type TwinError struct{ Path string }

func (e *TwinError) Error() string { return e.Path + ": stands there twice" }
