package generate

import (
	"bytes"
	"encoding/json"

	"loadstone/server/internal/wire"
)

// FormFields are the fields with which other servers than those of OpenAI and Anthropic are asked
// to hold an answer to a form: those of vLLM, SGLang, llama.cpp, Ollama and TGI, and OpenAI's own
// of another API. Clients send them to any server. A form that is a JSON schema or a choice of
// texts is held here, and any other is refused, because an answer without it would be taken for one
// with it.
//
// Fields that say how another server goes about it, such as guided_decoding_backend, are not here.
type FormFields struct {
	GuidedJSON    json.RawMessage `json:"guided_json"`
	GuidedChoice  json.RawMessage `json:"guided_choice"`
	GuidedRegex   json.RawMessage `json:"guided_regex"`
	GuidedGrammar json.RawMessage `json:"guided_grammar"`
	GuidedSpace   json.RawMessage `json:"guided_whitespace_pattern"`
	JSONSchema    json.RawMessage `json:"json_schema"`
	Regex         json.RawMessage `json:"regex"`
	EBNF          json.RawMessage `json:"ebnf"`
	Grammar       json.RawMessage `json:"grammar"`
	StructuralTag json.RawMessage `json:"structural_tag"`
	Format        json.RawMessage `json:"format"`

	AllowedTokens json.RawMessage `json:"allowed_token_ids"`
	BadWords      json.RawMessage `json:"bad_words"`

	Structured json.RawMessage `json:"structured_outputs"`
	NVExt      json.RawMessage `json:"nvext"`
	Text       json.RawMessage `json:"text"`
}

// structuredFields are those within structured_outputs.
type structuredFields struct {
	JSON          json.RawMessage `json:"json"`
	Choice        json.RawMessage `json:"choice"`
	Regex         json.RawMessage `json:"regex"`
	Grammar       json.RawMessage `json:"grammar"`
	JSONObject    json.RawMessage `json:"json_object"`
	StructuralTag json.RawMessage `json:"structural_tag"`
	Space         json.RawMessage `json:"whitespace_pattern"`
	NoAdditional  json.RawMessage `json:"disable_additional_properties"`
}

// AddTo adds the form that the fields demand to what is demanded of the answer already.
func (f *FormFields) AddTo(c *Constraint) error {
	if err := f.addGuided(c, ""); err != nil {
		return err
	}
	if err := refuseSet([]namedField{
		{"allowed_token_ids", f.AllowedTokens},
		{"bad_words", f.BadWords},
	}); err != nil {
		return err
	}
	if err := f.addStructured(c); err != nil {
		return err
	}
	if IsSet(f.NVExt) {
		var inner FormFields
		if wire.Unmarshal(f.NVExt, &inner) == nil {
			if err := inner.addGuided(c, "nvext."); err != nil {
				return err
			}
		}
	}
	return f.addText(c)
}

func (f *FormFields) addGuided(c *Constraint, path string) error {
	if err := refuseSet([]namedField{
		{path + "guided_regex", f.GuidedRegex},
		{path + "guided_grammar", f.GuidedGrammar},
		{path + "guided_whitespace_pattern", f.GuidedSpace},
		{path + "regex", f.Regex},
		{path + "ebnf", f.EBNF},
		{path + "grammar", f.Grammar},
		{path + "structural_tag", f.StructuralTag},
	}); err != nil {
		return err
	}
	for _, field := range []namedField{
		{path + "guided_json", f.GuidedJSON},
		{path + "json_schema", f.JSONSchema},
		{path + "format", f.Format},
	} {
		if err := c.addSchema(field); err != nil {
			return err
		}
	}
	return c.addChoice(namedField{path + "guided_choice", f.GuidedChoice})
}

func (f *FormFields) addStructured(c *Constraint) error {
	if !IsSet(f.Structured) {
		return nil
	}
	const name = "structured_outputs"
	var s structuredFields
	if err := Read(name, f.Structured, &s); err != nil {
		return err
	}
	if err := refuseSet([]namedField{
		{name + ".regex", s.Regex},
		{name + ".grammar", s.Grammar},
		{name + ".structural_tag", s.StructuralTag},
		{name + ".whitespace_pattern", s.Space},
		{name + ".disable_additional_properties", s.NoAdditional},
	}); err != nil {
		return err
	}
	if IsSet(s.JSONObject) {
		if err := c.SetSchema(name+".json_object", anyObject); err != nil {
			return err
		}
	}
	if err := c.addSchema(namedField{name + ".json", s.JSON}); err != nil {
		return err
	}
	return c.addChoice(namedField{name + ".choice", s.Choice})
}

// addText reads text.format, the response_format of OpenAI's other API.
func (f *FormFields) addText(c *Constraint) error {
	var text struct {
		Format *struct {
			Type   string
			Schema json.RawMessage
		}
	}
	if !bytes.HasPrefix(f.Text, []byte("{")) {
		return nil
	}
	if err := Read("text", f.Text, &text); err != nil {
		return err
	}
	if text.Format == nil {
		return nil
	}
	switch text.Format.Type {
	case "text":
		return nil
	case "json_object":
		return c.SetSchema("text.format", anyObject)
	case "json_schema":
		if wire.OrNil(text.Format.Schema) == nil {
			return Invalid("text.format.schema", "text.format.schema: missing")
		}
		return c.SetSchema("text.format.schema", text.Format.Schema)
	}
	return Invalid("text.format.type", "text.format.type: %q; want text, json_object or json_schema",
		text.Format.Type)
}

// anyObject is the schema of any JSON object.
var anyObject = json.RawMessage(`{"type":"object"}`)

// SetObject demands that the answer's text is a JSON object.
func (c *Constraint) SetObject(field string) error { return c.SetSchema(field, anyObject) }

// SetSchema demands that the answer's text is JSON of the schema that a body's field has.
func (c *Constraint) SetSchema(field string, schema json.RawMessage) error {
	if err := c.alone(field); err != nil {
		return err
	}
	c.Schema, c.SchemaField = wire.Plain(schema), field
	return nil
}

// alone refuses a second form beside the one that is demanded already.
func (c *Constraint) alone(field string) error {
	if c.Schema == nil && c.Texts == nil {
		return nil
	}
	return Unsupported(field, "%s: stands beside %s; this server holds an answer to one form",
		field, c.SchemaField)
}

// addSchema demands the schema of a field: an object, JSON text of one, or "json" for any object.
func (c *Constraint) addSchema(f namedField) error {
	if !IsSet(f.value) {
		return nil
	}
	schema := f.value
	var text string
	if schema[0] == '"' {
		if err := wire.Unmarshal(schema, &text); err != nil {
			return err
		}
		schema = json.RawMessage(text)
		if text == "json" {
			schema = anyObject
		}
	}
	if !json.Valid(schema) || !wire.IsObject(string(schema)) {
		return Invalid(f.name, "%s: want a JSON schema, which is an object", f.name)
	}
	return c.SetSchema(f.name, schema)
}

// maxChoices bounds the texts of a choice.
const maxChoices = 1000

// addChoice demands one of the texts that a field lists.
func (c *Constraint) addChoice(f namedField) error {
	if !IsSet(f.value) {
		return nil
	}
	if err := c.alone(f.name); err != nil {
		return err
	}
	var texts []string
	if err := wire.Unmarshal(f.value, &texts); err != nil || len(texts) == 0 ||
		len(texts) > maxChoices {
		return Invalid(f.name, "%s: want an array of 1 to %d strings", f.name, maxChoices)
	}
	if c.allowsCalls() {
		return Unsupported(f.name, "%s: not together with tools", f.name)
	}
	c.Texts, c.SchemaField = texts, f.name
	return nil
}

// A namedField is a field of a body, by its path.
type namedField struct {
	name  string
	value json.RawMessage
}

// refuseSet refuses the first of the fields that is set.
func refuseSet(fields []namedField) error {
	for _, f := range fields {
		if IsSet(f.value) {
			return Unsupported(f.name, "%s: this server cannot hold an answer to it; "+
				"it can hold one to a JSON schema or to a choice of texts", f.name)
		}
	}
	return nil
}

// IsSet reports whether a field demands anything: libraries send what was not asked for as null,
// false or empty.
func IsSet(raw json.RawMessage) bool {
	switch string(bytes.Join(bytes.Fields(raw), nil)) {
	case "", "null", "false", `""`, "[]", "{}":
		return false
	}
	return true
}
