"""Renders templates with transformers' own Jinja environment, for the tests of package tokenizer.

    pip install -r requirements.txt
    python oracle.py          # features.json and chats.json, from the .py files beside it
    python oracle.py DIR      # to standard output: what chats.json has, for the templates of DIR
    go test ./engine/tokenizer -run TestChats -chats FILE    # compares such a file

features.json has, for each template of features.py, the text or null if rendering fails. chats.json
has, for each template of templates.py and each conversation of conversations.py, the text or the
error's kind: that of raise_exception, or any other. These templates are our own; they use what the
templates of published models use, which may be compared in the second way.
"""

import datetime
import json
import pathlib
import sys

import jinja2
from transformers.utils import chat_template_utils

import conversations
import features
import templates

HERE = pathlib.Path(__file__).parent
NOW = datetime.datetime(2026, 7, 4, 15, 6, 8, 9)


def compile(source):
    template = chat_template_utils._compile_jinja_template(source)
    template.environment.globals["strftime_now"] = NOW.strftime
    return template


def render(source, variables):
    """The text, or None and the message of raise_exception, or None and an error of another kind."""
    try:
        text = compile(source).render(**variables)
        if " at 0x" in text:
            return None, "error: prints an address"
        return text, None
    except jinja2.TemplateSyntaxError as e:
        return None, "syntax: " + str(e)
    except jinja2.TemplateError as e:
        if type(e) is jinja2.TemplateError:
            return None, "raised: " + str(e)
        return None, "error: " + str(e)
    except Exception as e:
        return None, "error: " + str(e)


def chats(sources):
    result = {"conversations": conversations.CONVERSATIONS, "templates": []}
    for name, source in sources.items():
        texts, errors = [], {}
        for i, variables in enumerate(conversations.CONVERSATIONS):
            text, error = render(source, variables)
            texts.append(text)
            if error:
                errors[i] = error
        result["templates"].append({"name": name, "source": source, "texts": texts, "errors": errors})
    return result


def main():
    if len(sys.argv) > 1:
        files = sorted(pathlib.Path(sys.argv[1]).glob("*.jinja"))
        json.dump(chats({f.name: f.read_text() for f in files}), sys.stdout, ensure_ascii=False)
        return
    result = chats(templates.TEMPLATES)
    (HERE / "chats.json").write_text(json.dumps(result, ensure_ascii=False, indent=0) + "\n")
    cases = []
    for source in features.FEATURES:
        text, error = render(source, features.VARIABLES)
        case = {"template": source, "text": text}
        if error:
            case["error"] = error
        cases.append(case)
    lines = ",\n".join(json.dumps(c, ensure_ascii=False) for c in cases)
    variables = json.dumps(features.VARIABLES, ensure_ascii=False)
    (HERE / "features.json").write_text(f'{{"variables": {variables},\n"cases": [\n{lines}\n]}}\n')


main()
