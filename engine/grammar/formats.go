package grammar

import (
	"strconv"
	"strings"
)

// The formats that strings are held to, as patterns. Each is a part of what its specification
// allows, chosen so that the common libraries read it, too.
const (
	dateForm = `(?:(?!0000)(?:\d\d(?:0[48]|[2468][048]|[13579][26])|` +
		`(?:[02468][048]|[13579][26])00)-02-29|` +
		`(?!0000)\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|` +
		`(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8])))`
	timeForm = `(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?` +
		`(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)`
	// The limits keep a name within 253 characters and each label within 63. A label has no two
	// hyphens in a row, because in the third and fourth place they are reserved.
	labelForm    = `[A-Za-z0-9](?:-?[A-Za-z0-9]){0,20}`
	hostnameForm = `(?:` + labelForm + `\.){0,3}` + labelForm
	domainForm   = `(?:` + labelForm + `\.){1,3}[A-Za-z]{2,20}`
	// Strings of up to 63 characters need no such limits.
	shortLabel    = `[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*`
	shortHostname = `(?:` + shortLabel + `\.)*` + shortLabel
	shortDomain   = `(?:` + shortLabel + `\.)+[A-Za-z]{2,}`
	ipv4Form      = `(?:` + byteForm + `\.){3}` + byteForm
	byteForm      = `(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)`
	h16           = `[0-9A-Fa-f]{1,4}`
	ipv6Form      = `(?:(?:` + h16 + `:){7}` + h16 + `|(?:` + h16 + `:){1,7}:|` +
		`(?:` + h16 + `:){1,6}:` + h16 + `|(?:` + h16 + `:){1,5}(?::` + h16 + `){1,2}|` +
		`(?:` + h16 + `:){1,4}(?::` + h16 + `){1,3}|(?:` + h16 + `:){1,3}(?::` + h16 + `){1,4}|` +
		`(?:` + h16 + `:){1,2}(?::` + h16 + `){1,5}|` + h16 + `:(?::` + h16 + `){1,6}|` +
		`:(?::` + h16 + `){1,7}|::)`
	anyIPForm    = `(?:` + ipv4Form + `|` + ipv6Form + `)`
	uuidForm     = `[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}`
	durationTime = `T(?:\d{1,4}H(?:\d{1,4}M(?:\d{1,4}S)?)?|\d{1,4}M(?:\d{1,4}S)?|\d{1,4}S)`
	durationForm = `P(?:\d{1,4}W|(?:\d{1,4}D|\d{1,4}M(?:\d{1,4}D)?|` +
		`\d{1,4}Y(?:\d{1,4}M(?:\d{1,4}D)?)?)(?:` + durationTime + `)?|` + durationTime + `)`
	uriChar = `(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})`
	uriTail = `(?:\?(?:` + uriChar + `|[/?])*)?(?:#(?:` + uriChar + `|[/?])*)?`
	uriUser = `(?:[A-Za-z0-9._~-]{1,20}(?::[A-Za-z0-9._~-]{0,20})?@)?`
	// A URI has an authority and a path, or a path alone.
	uriForm = `[A-Za-z][A-Za-z0-9+.-]{1,20}:(?://` + uriUser + hostnameForm + uriPort +
		`(?:/` + uriChar + `*)*|(?:///)?` + uriChar + `+(?:/` + uriChar + `*)*)` + uriTail
	// The part before the path has less than 253 characters. UNITS stands for a number.
	boundedURI = `[A-Za-z][A-Za-z0-9+.-]{1,20}:(?://` + uriUser + hostnameForm + uriPort +
		`(?:/(?:` + uriChar + `|[/?]){0,UNITS})?|` +
		`(?:///)?` + uriChar + `(?:` + uriChar + `|[/?]){0,UNITS})`
	shortURI = `[A-Za-z][A-Za-z0-9+.-]+:(?://` + shortUser + shortHostname + uriPort +
		`(?:/` + uriChar + `*)*|(?:///)?` + uriChar + `+(?:/` + uriChar + `*)*)` + uriTail
	shortUser = `(?:[A-Za-z0-9._~-]+(?::[A-Za-z0-9._~-]*)?@)?`
	uriPort   = `(?::[1-9]\d{1,3})?`
	atomChar  = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
	// The local part of an address has at most 64 characters.
	emailForm  = atomChar + `(?:\.?` + atomChar + `){0,30}@` + domainForm
	shortEmail = atomChar + `+(?:\.` + atomChar + `+)*@` + shortDomain
	// pointerForm is that of a JSON pointer.
	pointerForm = `(?:/(?:[^~/]|~[01])*)*`
	// Regular expressions without groups, which mean the same to ECMA-262 and to Python.
	regexChar = `(?:[A-Za-z0-9 _@#%&=:;,<>'"~!/-]|\\[dDwWsSnt.*+?^$|()\[\]{}/\\]|\.|` +
		`\[\^?(?:a-z|A-Z|0-9|[A-Za-z0-9 _.,:@/]|\\[dws])+\])(?:[*+?]\??)?`
	regexForm = `\^?(?:` + regexChar + `)*(?:\|(?:` + regexChar + `)*)*\$?`
)

// uuidVersion is the form of the UUIDs of a version of RFC 9562, a digit. Pydantic has formats for
// them.
func uuidVersion(digit string) string {
	return `[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-` + digit + `[0-9A-Fa-f]{3}-[89ABab][0-9A-Fa-f]{3}-` +
		`[0-9A-Fa-f]{12}`
}

var formats = map[string]string{
	"date-time": dateForm + "T" + timeForm, "date": dateForm, "time": timeForm,
	"duration": durationForm,
	"email":    emailForm, "idn-email": emailForm,
	"hostname": hostnameForm, "idn-hostname": hostnameForm,
	"ipv4": ipv4Form, "ipv6": ipv6Form,
	"ipvanyaddress": anyIPForm,               // Pydantic's
	"int64":         `-?(?:0|[1-9]\d{0,17})`, // of Google's APIs, in which a number of 64 bits
	"uint64":        `(?:0|[1-9]\d{0,18})`,   // is a string
	"uuid":          uuidForm,
	"uuid1":         uuidVersion("1"), "uuid3": uuidVersion("3"), "uuid4": uuidVersion("4"),
	"uuid5": uuidVersion("5"), "uuid6": uuidVersion("6"), "uuid7": uuidVersion("7"),
	"uuid8": uuidVersion("8"),
	"uri":   uriForm, "uri-reference": uriForm, "iri": uriForm, "iri-reference": uriForm,
	"uri-template": uriForm, "url": uriForm,
	"json-pointer":          pointerForm,
	"relative-json-pointer": `(?:0|[1-9]\d{0,8})(?:#|` + pointerForm + `)`,
	"regex":                 regexForm,
	"byte":                  `(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?`,
}

// shortFormats are the forms of formats for strings of up to 63 characters. They take fewer states,
// which matters where the length is counted, too.
var shortFormats = map[string]string{
	hostnameForm: shortHostname, emailForm: shortEmail, uriForm: shortURI,
}

// The most characters of a string of a short form, and of one that need not be short.
const (
	shortLength = 63
	longLength  = 253
)

// outerForms are patterns of all strings that any reader may take for one of a format. Where a
// format must not be, no string of its outer form is written.
var outerForms = map[string]string{
	"date-time": `^\d{4}-\d\d-\d\d[Tt\s]\d\d:`, "date": `^\d{4}-\d\d-\d\d$`,
	"time": `^\d\d:\d\d`, "duration": "^P", "email": "@", "idn-email": "@",
	"hostname": `^[A-Za-z0-9._-]*$`, "idn-hostname": `^[^\s@/:]*$`,
	"ipv4": "^" + ipv4Form + "$", "ipv6": "^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*$",
	"uuid": "^" + uuidForm + "$", "json-pointer": "^(?:/|$)",
	"uri": "^[A-Za-z][A-Za-z0-9+.-]*:", "iri": "^[A-Za-z][A-Za-z0-9+.-]*:",
	"url": "^[A-Za-z][A-Za-z0-9+.-]*:",
}

// outerFormat returns the strings that may be taken for one of a format.
func (g *langs) outerFormat(name string) (l lang, known bool) {
	form, known := outerForms[name]
	if !known {
		return anything, false
	}
	l, err := g.pattern(form)
	if err != nil {
		panic("grammar: the outer form of " + name + " " + err.Error())
	}
	return l, true
}

// numberFormats are the formats of OpenAPI, and of Rust's schemars, that bound integers, with their
// bounds. The numbers of 64 bits have more digits than grammars write without bounds.
var numberFormats = map[string][2]string{
	"int8": {"-128", "127"}, "int16": {"-32768", "32767"}, "int32": {"-2147483648", "2147483647"},
	"uint8": {"0", "255"}, "uint16": {"0", "65535"}, "uint32": {"0", "4294967295"},
	"uint": {"0", "18446744073709551615"}, "uint64": {"0", "18446744073709551615"},
}

// openFormats are formats of OpenAPI, and of Pydantic, that any string has; they tell how to show,
// store or use it.
var openFormats = map[string]bool{"password": true, "binary": true, "path": true}

// format returns strings that have a format. If none of more than high characters is asked for, it
// may leave others out, too; a negative high stands for no limit.
func (g *langs) format(name string, high int) (l lang, known bool) {
	if openFormats[name] {
		return anything, true
	}
	form, known := formats[name]
	if !known {
		return 0, false
	}
	limit := anything
	if short, ok := shortFormats[form]; ok && high >= 0 {
		units := min((high-longLength)/len("%00"), 150)
		if form == uriForm && units > 0 {
			form = strings.ReplaceAll(boundedURI, "UNITS", strconv.Itoa(units))
		} else if high <= longLength {
			form, limit = short, g.times(anyChar, 0, shortLength)
		}
	}
	l, err := g.pattern("^(?:" + form + ")$")
	if err != nil {
		panic("grammar: the format " + name + " " + err.Error())
	}
	return g.and(l, limit), true
}
