package wire

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

type inner struct {
	Name  string
	Count *int `json:"count"`
}

type record struct {
	inner
	List  []inner            `json:"list"`
	Bias  map[string]float64 `json:"bias"`
	Share float64            `json:"share"`
	On    bool               `json:"on"`
	Seed  int64              `json:"seed"`
	Raw   json.RawMessage    `json:"raw"`
}

// TestUnmarshal: names are exact, integers may be spelled in any way, and what is wrong is named
// with its path.
func TestUnmarshal(t *testing.T) {
	for body, want := range map[string]record{
		`{}`: {},
		` { "name" : "a\u00fc\ud83d\ude42\/" , "list":[{"name":"b","more":[1,{"x":null}]}]} `: {
			inner: inner{Name: "aü🙂/"}, List: []inner{{Name: "b"}}},
		`{"Name":"a","SEED":3,"\u017feed":1,"see\u0064":2}`: {Seed: 2},
		`{"seed":16.0,"count":1e1,"share":1}`:               {inner: inner{Count: new(10)}, Seed: 16, Share: 1},
		`{"seed":-1.60E+1}`:                                 {Seed: -16},
		`{"seed":9223372036854775807}`:                      {Seed: 1<<63 - 1},
		`{"seed":null,"list":null,"count":null,"on":null}`:  {},
		`{"on":true,"bias":{"5":-1e2},"raw":[1, "\u0041"]}`: {On: true, Bias: map[string]float64{"5": -100}, Raw: json.RawMessage(`[1, "\u0041"]`)},
		`{"name":"\ud83d","raw":null}`:                      {inner: inner{Name: "\uFFFD"}, Raw: json.RawMessage("null")},
	} {
		var got record
		if err := Unmarshal([]byte(body), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", body, got, err, want)
		}
	}
	for body, want := range map[string]string{
		``:                                     "unexpected end of JSON input at byte 0",
		`{"name":"a"`:                          "unexpected end of JSON input at byte 11",
		`{"name":"a"}}`:                        "invalid character '}' after top-level value at byte 13",
		`{"seed":1.5}`:                         "seed: want an integer, got number 1.5 at byte 11",
		`{"seed":1e30}`:                        "seed: want an integer, got number 1e30 at byte 12",
		`{"seed":9223372036854775808}`:         "seed: want an integer, got number 9223372036854775808 at byte 27",
		`{"seed":"1"}`:                         "seed: want an integer, got string at byte 11",
		`{"share":1e999}`:                      "share: want a number, got number 1e999 at byte 14",
		`{"list":[{"name":"a"},{"name":7}]}`:   "list[1].name: want a string, got number at byte 31",
		`[]`:                                   "the body: want an object, got array at byte 1",
		`{"name":"a","name":"a"}`:              "name: stands there twice",
		`{"list":[{"x":{"y":1,"\u0079":2}}]}`:  "list[0].x.y: stands there twice",
		`{"raw":[0,{"a":1,"b":{},"a":1}]}`:     "raw[1].a: stands there twice",
		`{"a":"` + "\n" + `"}`:                 `invalid character '\n' in string literal at byte 7`,
		`{"a":01}`:                             "invalid character '1' after object key:value pair at byte 7",
		strings.Repeat("[", 20000):             "the body: want an object, got array at byte 1",
		`{"raw":` + strings.Repeat("[", 20000): "exceeded max depth at byte 10006",
		`{"raw":"\x"}`:                         "invalid character 'x' in string escape code at byte 10",
		`{"raw":-}`:                            "invalid character '}' in numeric literal at byte 9",
		`{"on":tru}`:                           "invalid character '}' in literal true at byte 10",
	} {
		var got record
		if err := Unmarshal([]byte(body), &got); err == nil || err.Error() != want {
			t.Errorf("%.60s: %v, want %s", body, err, want)
		}
	}
	for value, want := range map[string]string{
		`{"list":[{"name":7}]}`: "a[1].b.list[0].name: want a string, got number",
		`[]`:                    "a[1].b: want an object, got array",
	} {
		var got record
		if err := UnmarshalAt("a[1].b", []byte(value), &got); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", value, err, want)
		}
	}
	var many strings.Builder
	for i := range 40 {
		many.WriteString(`"` + strings.Repeat("k", i+1) + `":0,`)
	}
	var twin *TwinError
	err := Unmarshal([]byte(`{`+many.String()+`"kkk":1}`), new(record))
	if !errors.As(err, &twin) || twin.Path != "kkk" {
		t.Errorf("a twin among many: %v", err)
	}
	if err := Unmarshal([]byte(`{`+many.String()+`"kKk":1}`), new(record)); err != nil {
		t.Errorf("many names: %v", err)
	}
}

// FuzzUnmarshal: what Unmarshal accepts, encoding/json accepts and reads alike, but for names that
// are not exact and integers in other spellings. What encoding/json accepts is refused only for
// a twin.
func FuzzUnmarshal(f *testing.F) {
	for _, s := range []string{
		`{"name":"a","list":[{"name":"b","count":3}],"bias":{"a":1.5},"raw":{"x":[]}}`,
		`{"seed":1,"seed":2}`, `{"on":tru}`, "\xff", `{"name":"\ud800\u0041"}`, `[{}]`, `{"a":{"A":-0.1e-2}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if strings.ContainsAny(strings.ToLower(string(b)), "ſK") || string(b) != strings.ToLower(string(b)) {
			t.Skip("names that encoding/json folds")
		}
		type lower struct {
			Name  string             `json:"name"`
			List  []inner            `json:"list"`
			Bias  map[string]float64 `json:"bias"`
			Share float64            `json:"share"`
			On    bool               `json:"on"`
			Raw   json.RawMessage    `json:"raw"`
		}
		var ours, theirs lower
		err, want := Unmarshal(b, &ours), json.Unmarshal(b, &theirs)
		var twin *TwinError
		switch {
		case err == nil && want != nil:
			var typed *json.UnmarshalTypeError
			if !errors.As(want, &typed) || !strings.HasPrefix(typed.Value, "number") {
				t.Errorf("%q: accepted, and encoding/json says %v", b, want)
			}
		case err != nil && want == nil && !errors.As(err, &twin):
			t.Errorf("%q: %v, and encoding/json accepts it", b, err)
		case err == nil && !reflect.DeepEqual(ours, theirs) && !strings.Contains(string(b), `\u`):
			t.Errorf("%q: %+v, encoding/json has %+v", b, ours, theirs)
		}
	})
}

// TestPlain: the expected texts are what Python's json.dumps(json.loads(x), ensure_ascii=False)
// makes of them.
func TestPlain(t *testing.T) {
	for raw, want := range map[string]string{
		`{"b":1,"a":[1,2,{}]}`:                 `{"b": 1, "a": [1, 2, {}]}`,
		" [ ] ":                                "[]",
		`{ "z" : null , "y" : true }`:          `{"z": null, "y": true}`,
		`"\u00fc\u0027\u003C\/\u4e0a"`:         `"ü'</上"`,
		`"\ud83d\ude0a\u2028"`:                 "\"😊\u2028\"",
		`"\u0000\u001f\b\f\n\r\t\"\\\u007f"`:   `"\u0000\u001f\b\f\n\r\t\"\\` + "\x7f" + `"`,
		`[1.0,1e1,1E2,0.5,-0,-0.0,1.50]`:       `[1.0, 10.0, 100.0, 0.5, 0, -0.0, 1.5]`,
		`[1e15,1e16,1.5e300,0.0001,0.00001]`:   `[1000000000000000.0, 1e+16, 1.5e+300, 0.0001, 1e-05]`,
		`[12345678901234567890123,1e999,1e-7]`: `[12345678901234567890123, 1e999, 1e-07]`,
		`{"a , b":": "}`:                       `{"a , b": ": "}`,
		`"\\u0041"`:                            `"\\u0041"`,
	} {
		if got := string(Plain([]byte(raw))); got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
}

// FuzzPlain: the form of a text is JSON of the same value, and its own form.
func FuzzPlain(f *testing.F) {
	f.Add([]byte(`{"a":[1.5e3,"\u00e9\n",{"b":null}],"c":-0}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var want, got any
		if json.Unmarshal(raw, &want) != nil {
			t.Skip("not JSON")
		}
		plain := Plain(raw)
		if err := json.Unmarshal(plain, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q becomes %q: %v", raw, plain, err)
		}
		if again := Plain(plain); string(again) != string(plain) {
			t.Errorf("%q, then %q", plain, again)
		}
	})
}

func TestIsWhole(t *testing.T) {
	for raw, want := range map[string]bool{
		`"a"`: true, `"\ud83d\ude0a"`: true, `"\ud83d"`: false, `"\ude0a\ud83d"`: false, `"\\ud83d"`: true,
		`"\ud83d\u0041"`: false, "\"\xff\"": false, `["\uFFFD"]`: true,
	} {
		if IsWhole([]byte(raw)) != want {
			t.Errorf("%s: %v", raw, !want)
		}
	}
}

// TestMaxObjects: a body of nothing but small objects does not become a hundred times as large.
func TestMaxObjects(t *testing.T) {
	type message struct{ Role, Text string }
	type body struct {
		Messages []message
		IDs      []int
	}
	for n, want := range map[int]string{
		maxObjects:  "",
		8 << 20 / 3: "messages[100000]: want at most 100000 values, got more at byte 300013",
	} {
		got := ""
		if err := Unmarshal([]byte(`{"messages":[{}`+strings.Repeat(",{}", n-1)+"]}"), new(body)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%d values: %q, want %q", n, got, want)
		}
	}
	ids := []byte(`{"ids":[1` + strings.Repeat(",1", maxObjects) + "]}")
	if err := Unmarshal(ids, new(body)); err != nil {
		t.Errorf("numbers: %v", err)
	}
}
