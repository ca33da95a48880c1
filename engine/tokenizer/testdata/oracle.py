"""Makes the fixtures of package tokenizer's tests, and the results of Hugging Face's libraries for
them.

    pip install tokenizers==0.23.3 transformers==5.23.0 jinja2==3.1.6
    python oracle.py                    # the committed folders bytelevel, split and sentencepiece
    python oracle.py smollm2 DIR        # smollm2.json, from an imported model folder; likewise
                                        # gemma3-270m, and tiny from ../../tiny/model whenever that
                                        # is made anew

Training is not deterministic, so the fixtures and their oracles must be made, and committed,
together.

Every oracle holds, for each text, the ids with control tokens found (encode) and as plain text
(encode_special_tokens), and for each chat the text and the ids of transformers'
apply_chat_template, or the template's error.
"""

import json
import pathlib
import sys

import jinja2
import tokenizers
import transformers
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

HERE = pathlib.Path(__file__).parent

PROSE = [
    "Hello, world! It's 2024-11-05; we've got 1234567890 tokens, don't you? I'd say we're fine, they'll see what I'm at.",
    "SHOUTING: IT'S WE'VE DON'T I'D WE'RE THEY'LL I'M; 'tis the ſeaſon, it'ſ old.",
    "Grüße aus Köln: Straße, naïve café, cooperation — “quotes” … ŒUVRE ﬁne ½ ⅔ x² H₂O №5 Ⅷ",
    "Привет, мир! Как дела? Γειά σου Κόσμε, ΟΔΥΣΣΕΥΣ. Türkiye'de İstanbul ve ılık su.",
    "中文字符测试,没有空格。这是一个很长的句子吗?日本語のテキスト、ひらがなとカタカナ。안녕하세요 세계!",
    "ภาษาไทยไม่มีช่องว่างระหว่างคำ हिन्दी में परीक्षण नमस्ते தமிழ் বাংলা ၁၂၃ ١٢٣٤٥ ০১২",
    "مرحبا بالعالم، كيف الحال؟ שלום עולם, מה שלומך? \u202bRTL\u202c \u200fmark",
    "😀😃 family 👨‍👩‍👧‍👦 thumbs 👍🏽 flags 🇩🇪🇯🇵 pride 🏳️‍🌈 heart ❤️ keycap 1️⃣ 🤷🏿‍♀️",
    "combining: e\u0301 n\u0303 a\u0308\u0304 Z\u0351\u036b\u0343 o\u0302\u0323 é ñ \u0041\u030a \u212b",
    "func main() {\n\tfor i := 0; i < 10; i++ {\n\t\tfmt.Printf(\"%d\\n\", i)\n\t}\n}\n",
    "def f(x):\n    if x != y:\n        return x<<2 | 0xFF  # comment\n\n\n    return None\n",
    "<html>\n  <body class='a'>\n    <p>Hi &amp; bye</p>\n  </body>\n</html>",
    "spaces:  two   three    four\ttab\t\ttabs \t mixed\u00a0nbsp\u3000ideographic\u2003em\u200bzero",
    "lines\nfeed\n\nblank\n\n\nmore\r\nwindows\r\n\r\n \n \n  \n\t\nend   ",
    "digits 0 12 123 1234 12345 1234567890123456789012345678901234567890 3.14159 1e-9 0x1F4A9 1,000,000",
    "punctuation!!! ??? ... --- *** ((())) [[]] {{}} <<>> ~~~~ ___ $$$ %%% @@@ ^^^ ||| ;;; :::",
    "long" * 40 + " " + "ab" * 60 + "=" * 90 + "#" * 33,
]

TEXTS = PROSE + [
    "",
    " ",
    "\n",
    "a",
    "   leading and trailing   ",
    "\x00\x01\x1b[31mcontrol\x7f\x85\u2028\u2029\ufeff\ufffd",
    "▁already▁marked ▁ ▁▁ and <0x41> <0xE2>",
    "private \U000f0000 \ue000 unassigned \U000e0fff last \U0010ffff",
    "special <|im_start|>user\nhi<|im_end|> <bos><start_of_turn>model\nno<end_of_turn> <|eot_id|><|begin_of_text|></s>",
    "<|im_end|><|im_end|>x<|im_end|",
    "a <mask> b<mask>c  <mask>  d",
    "NOTE a NOTE, NOTES xNOTE NOTE\u0301 NOTE",
    "tool<tool>call </tool>\n\n\n\nx",
    "y<|im<|im_end|>_end|>",
]


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def system(text):
    return {"role": "system", "content": text}


def tool(text):
    return {"role": "tool", "content": text}


CHATS = [
    [user("Hello")],
    [system("You are terse."), user("Hello"), assistant("Hi."), user("What is 12 * 34?")],
    [user("  spaces around \n"), assistant("\n\nlines around  \n"), user("\tend\u00a0")],
    [system(" s "), user("one"), assistant("two"), user("three"), assistant("four"), user("five")],
    [user("")],
    [user("\u001cfile separator\u001f"), assistant(""), user("😀é中")],
    [user("one"), user("two")],
    [assistant("first")],
    [system("only")],
    [user("call"), assistant("calling"), tool('{"a": "é\\"\\n", "b": [1, 2]}\n\t/'), user("so?")],
] + [[system(a), user(b), assistant(c), user(a)] for a, b, c in zip(PROSE, PROSE[1:], PROSE[2:])]


def special(text, **options):
    return AddedToken(text, normalized=False, special=True, **options)


def train(model, specials, alphabet, size):
    t = Tokenizer(model)
    t.special = specials
    return t, trainers.BpeTrainer(
        vocab_size=size, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )


def save(name, t, config, template):
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    t.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "chat_template.jinja").write_text(template)
    write_oracle(folder / "oracle.json", t, config, template)


def bytelevel():
    """Makes a tokenizer with GPT-2's expression and single digits, like SmolLM2's."""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(
        PROSE,
        trainers.BpeTrainer(
            vocab_size=700,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
            special_tokens=[
                special("<|endoftext|>"),
                special("<|im_start|>"),
                special("<|im_end|>"),
                special("<mask>", lstrip=True, rstrip=True),
            ],
        ),
    )
    t.add_tokens(
        [
            AddedToken("NOTE", single_word=True, normalized=True),
            AddedToken("<tool>", normalized=False),
        ]
    )
    save(
        "bytelevel",
        t,
        {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"},
        """\
{% for message in messages %}
{% if loop.first and message['role'] != 'system' %}
{{ '<|im_start|>system\\nYou are a test.<|im_end|>\\n' }}
{%- endif %}
{{ '<|im_start|>' ~ message['role'] }}
{% generation %}
{{ message['content'] + '<|im_end|>' }}
{% endgeneration %}
{% endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\\n' }}
{%- endif %}
""",
    )


def split():
    """Makes a tokenizer with Llama 3's expression, which tries whole words first and whose
    post-processor adds the begin-of-text token."""
    t = Tokenizer(models.BPE(ignore_merges=True))
    t.normalizer = normalizers.NFC()
    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(
        PROSE,
        trainers.BpeTrainer(
            vocab_size=900,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
            special_tokens=[
                special("<|begin_of_text|>"),
                special("<|start_header_id|>"),
                special("<|end_header_id|>"),
                special("<|eot_id|>"),
            ],
        ),
    )
    t.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="<|begin_of_text|> $A",
                pair="<|begin_of_text|> $A <|begin_of_text|> $B",
                special_tokens=[("<|begin_of_text|>", t.token_to_id("<|begin_of_text|>"))],
            ),
        ]
    )
    save(
        "split",
        t,
        {"bos_token": "<|begin_of_text|>", "eos_token": {"content": "<|eot_id|>"}},
        """\
{{- bos_token }}
{#- the system message has a header of its own even when there is none #}
{%- set first = messages[0] %}
{%- if first.role == 'system' %}
    {%- set intro = first['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set intro = '' %}
{%- endif %}
{%- if tools is not none and tools %}
    {{- raise_exception('tools are not known here') }}
{%- endif %}
{%- set ns = namespace(turns=0) %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\nAnswer in " + (lang if lang is defined else 'English' if intro else "the user's language") + ".\\n" + intro + "<|eot_id|>" }}
{%- for message in messages %}
    {%- if message.role == 'tool' or 'tool_calls' in message %}
        {{- '<|start_header_id|>tool<|end_header_id|>\\n\\n' }}
        {%- if message.content is string %}{{ message.content | tojson }}{% endif %}
        {{- '<|eot_id|>' }}
    {%- else %}
        {%- set ns.turns = ns.turns + 1 %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if messages | length > 0 and messages[-1].role == 'assistant' and ns.turns == 1 %}
    {{- raise_exception('nobody has asked: ' ~ ns.turns) }}
{%- endif %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    )


def sentencepiece():
    """Makes a tokenizer with a converted SentencePiece vocabulary and byte fallback, like Gemma's:
    text is not split into words, and line ends are tokens."""
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Replace(" ", "▁")
    t.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # for training only
    t.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    trainer = trainers.BpeTrainer(
        vocab_size=1000,
        limit_alphabet=180,
        show_progress=False,
        special_tokens=[special(s) for s in tokens] + [f"<0x{b:02X}>" for b in range(256)],
    )
    t.train_from_iterator(PROSE + ["runs  of   spaces    here        and     there"] * 3, trainer)
    j = json.loads(t.to_str())
    j["pre_tokenizer"] = {
        "type": "Split",
        "pattern": {"String": " "},
        "behavior": "MergedWithPrevious",
        "invert": False,
    }
    j["added_tokens"] = [a for a in j["added_tokens"] if not a["content"].startswith("<0x")]
    t = Tokenizer.from_str(json.dumps(j))
    t.add_tokens(
        [AddedToken("\n" * n, normalized=False) for n in range(1, 5)]
        + [AddedToken("▁▁▁", normalized=False), AddedToken("<tool>", normalized=True)]
    )
    bos = t.token_to_id("<bos>")
    t.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", bos)]
    )
    save(
        "sentencepiece",
        t,
        {"bos_token": "<bos>", "eos_token": "<eos>"},
        """\
{{ bos_token }}
{%- set intro = messages[0]['content'] + '\\n\\n' if messages[0]['role'] == 'system' else '' -%}
{%- set turns = messages[1:] if intro else messages -%}
{%- for message in turns -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Roles must go user, assistant, user, ...") }}
    {%- endif -%}
    {%- set role = 'model' if (message['role'] == 'assistant') else message['role'] -%}
    {{ '<start_of_turn>' + role + '
' + (intro if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- else -%}
        {{ raise_exception("text only") }}
    {%- endif -%}
    {{ '<end_of_turn>
' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model
'}}
{%- endif -%}
""",
    )


def write_oracle(path, t, config, template):
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=t, chat_template=template)
    variables = {
        k: v if isinstance(v, str) else v["content"]
        for k, v in config.items()
        if k in ("bos_token", "eos_token", "unk_token", "pad_token")
    }
    encodings = []
    for text in TEXTS:
        t.encode_special_tokens = False
        ids = t.encode(text).ids
        t.encode_special_tokens = True
        encodings.append(
            {"text": text, "ids": ids, "plain": t.encode(text, add_special_tokens=False).ids}
        )
    t.encode_special_tokens = False
    chats = []
    for chat in CHATS:
        entry = {"roles": [m["role"] for m in chat], "contents": [m["content"] for m in chat]}
        try:
            entry["text"] = fast.apply_chat_template(
                chat, tokenize=False, add_generation_prompt=True, **variables
            )
            entry["ids"] = t.encode(entry["text"], add_special_tokens=False).ids
        except jinja2.exceptions.TemplateError as e:
            entry["error"] = str(e)
        chats.append(entry)
    oracle = {
        "made_by": f"tokenizers {tokenizers.__version__}, transformers {transformers.__version__}, jinja2 {jinja2.__version__}",
        "encodings": encodings,
        "chats": chats,
    }
    path.write_text(
        json.dumps(oracle, ensure_ascii=True, separators=(",", ":")).replace('},{"', '},\n{"')
        + "\n"
    )


def real(name, folder):
    folder = pathlib.Path(folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    template = folder / "chat_template.jinja"
    if not template.exists():
        template = HERE.parent / "gemma.jinja"
    write_oracle(
        HERE / f"{name}.json",
        Tokenizer.from_file(str(folder / "tokenizer.json")),
        config,
        template.read_text(),
    )


if len(sys.argv) == 3:
    real(*sys.argv[1:])
else:
    bytelevel()
    split()
    sentencepiece()
