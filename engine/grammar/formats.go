package grammar

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
	labelForm    = `[A-Za-z0-9](?:-?[A-Za-z0-9]){0,30}`
	hostnameForm = `(?:` + labelForm + `\.){0,3}` + labelForm
	domainForm   = `(?:` + labelForm + `\.){1,3}[A-Za-z]{2,20}`
	ipv4Form     = `(?:` + byteForm + `\.){3}` + byteForm
	byteForm     = `(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)`
	h16          = `[0-9A-Fa-f]{1,4}`
	ipv6Form     = `(?:(?:` + h16 + `:){7}` + h16 + `|(?:` + h16 + `:){1,7}:|` +
		`(?:` + h16 + `:){1,6}:` + h16 + `|(?:` + h16 + `:){1,5}(?::` + h16 + `){1,2}|` +
		`(?:` + h16 + `:){1,4}(?::` + h16 + `){1,3}|(?:` + h16 + `:){1,3}(?::` + h16 + `){1,4}|` +
		`(?:` + h16 + `:){1,2}(?::` + h16 + `){1,5}|` + h16 + `:(?::` + h16 + `){1,6}|` +
		`:(?::` + h16 + `){1,7}|::)`
	durationTime = `T(?:\d{1,4}H(?:\d{1,4}M(?:\d{1,4}S)?)?|\d{1,4}M(?:\d{1,4}S)?|\d{1,4}S)`
	durationForm = `P(?:\d{1,4}W|(?:\d{1,4}D|\d{1,4}M(?:\d{1,4}D)?|` +
		`\d{1,4}Y(?:\d{1,4}M(?:\d{1,4}D)?)?)(?:` + durationTime + `)?|` + durationTime + `)`
	uriChar = `(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})`
	uriForm = `[A-Za-z][A-Za-z0-9+.-]{1,20}://` + hostnameForm + `(?::[1-9]\d{1,3})?` +
		`(?:/` + uriChar + `*)*(?:\?(?:` + uriChar + `|[/?])*)?(?:#(?:` + uriChar + `|[/?])*)?`
	atomChar = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
	// The local part of an address has at most 64 characters.
	emailForm = atomChar + `(?:\.?` + atomChar + `){0,30}@` + domainForm
)

var formats = map[string]string{
	"date-time": dateForm + "T" + timeForm, "date": dateForm, "time": timeForm,
	"duration": durationForm,
	"email":    emailForm, "idn-email": emailForm,
	"hostname": hostnameForm, "idn-hostname": hostnameForm,
	"ipv4": ipv4Form, "ipv6": ipv6Form,
	"uuid": `[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}`,
	"uri":  uriForm, "uri-reference": uriForm, "iri": uriForm, "iri-reference": uriForm,
	"uri-template": uriForm, "url": uriForm,
	"json-pointer": `(?:/(?:[^~/]|~[01])*)*`,
	"byte":         `(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?`,
}

// openFormats are formats of OpenAPI that any string has; they tell how to show or store it.
var openFormats = map[string]bool{"password": true, "binary": true}

// format returns the strings that have a format.
func (g *langs) format(name string) (l lang, known bool) {
	if openFormats[name] {
		return anything, true
	}
	form, known := formats[name]
	if !known {
		return 0, false
	}
	l, err := g.pattern("^(?:" + form + ")$")
	if err != nil {
		panic("grammar: the format " + name + " " + err.Error())
	}
	return l, true
}
