"""The features of Jinja that oracle.py renders, each in a template of its own."""

VARIABLES = {
    "text": "Hello World", "messy": "  \t Hi there \n", "size": "größe", "emoji": "a😀b", "empty": "",
    "lines": "one\ntwo\r\n\nthree", "csv": "a,b,,c", "html": "<a href=\"x\">&'</a>", "marked": "<think>x</think>\n\ny",
    "n": 7, "neg": -7, "big": 123456789, "zero": 0, "f": 2.5, "whole": 3.0, "tiny": 1e-7, "huge": 1e16,
    "nothing": None, "yes": True, "no": False,
    "numbers": [3, 1, 2], "words": ["banana", "Apple", "cherry"], "mixed": [1, "a", None, True, 2.0, [1], {"k": "v"}],
    "none_of_it": [], "empty_dict": {},
    "nested": {"b": 1, "a": {"y": [1, 2, {"z": None}]}, "items_": [], "quote": "it's \"ü\"\n\u0001<&>"},
    "people": [{"name": "Zoe", "age": 30, "city": {"name": "Köln"}}, {"name": "adam", "age": 25}, {"name": "Bob", "age": 30}],
    "tree": [{"v": 1, "kids": [{"v": 2, "kids": []}, {"v": 3, "kids": [{"v": 4, "kids": []}]}]}],
    "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}, {"role": "assistant", "content": "A"}],
    "int_keys": {"2": "two", "1": "one"},
    "shadow": {"items": "mine", "keys": 1, "x": 2},
}

# Expressions, printed.
EXPRESSIONS = r"""
numbers[-1]
numbers[-3]
numbers[-4] is defined
messages[-1].content
messages[-1]['role']
text[0]
text[-1]
text[0:5]
text[-5:]
text[:-6]
text[::2]
text[::-1]
size[2]
size[2:4]
size[-2:]
emoji[1]
emoji[1:]
emoji|length
size|length
text[100:]
text[100] is defined
text[3:1]
numbers[1:]
numbers[::-1]
numbers[:-1]
numbers[5:]
numbers[-2:]
messages[1:]|length
messages[1:][0].role
(1, 2, 3)[1:]
range(10)[2]
range(10)[-1]
range(10)[2:5]
range(10)[::3]|list
csv.split(',')
csv.split(',', 1)
csv.split(',', 2)[1]
csv.split(',')[-1]
csv.split(',', 0)
csv.split(',', maxsplit=1)
csv.split(sep=',')
csv.rsplit(',', 1)
csv.rsplit(',', 1)[0]
csv.split('x')
csv.split('x')[-1]
messy.split()
messy.split(none, 1)
messy.rsplit(none, 1)
messy.rsplit()
empty.split()
empty.split(',')
'a  b'.split(' ')
marked.split('</think>')[-1]
marked.split('</think>')[-1].lstrip('\n')
marked.split('</think>')[0].split('<think>')[-1]
marked.split('</think>', 1)[1]
marked.partition('</think>')
marked.rpartition('x')
marked.partition('nope')
marked.rpartition('nope')
messy.strip()
messy.lstrip()
messy.rstrip()
messy|trim
'xxhixx'.strip('x')
'xyhiyx'.strip('xy')
'xxhixx'.lstrip('x')
'xxhixx'.rstrip('x')
'xxhixx'|trim('x')
messy.strip(none)
'\n\n a \n'.strip('\n')
'\x1c a \x1d\u2003'.strip()
text.replace('l', 'L')
text.replace('l', 'L', 1)
text.replace('l', '')
text.replace('', '-')
text.replace('', '-', 2)
text.replace('zz', 'y')
text|replace('l', 'L')
text|replace('l', 'L', 2)
123|replace(2, 5)
text.upper()
text.lower()
text.title()
text.capitalize()
text.swapcase()
text|upper
text|lower
text|title
text|capitalize
"they're bill's"|title
"they're bill's".title()
'foo-bar (baz) [x] {y} <z>'|title
'straße'.upper()
'straße'|upper
'ΣΊΣΥΦΟΣ'.lower()
'İ'.lower()|length
'ŉ'.upper()
'ŉ ß ﬁ ǰ ΐ և ﬗ'.title()
'ŉ ß ﬁ ǰ ΐ և ﬗ'.upper()
'ᾳ ᾈ ǆ ǅ Ǆ'.title()
'ᾳ ᾈ ǆ ǅ Ǆ'.upper()
'ΑΣ ΑΣ. Σ ΑΣΑ'.lower()
'İIıi'.lower()
'İIıi'.upper()
'ẞß'.casefold()
'ǆ'.title()
'ﬁx'.capitalize()
'Straße'.casefold()
text.startswith('Hello')
text.startswith(('x', 'He'))
text.startswith('World', 6)
text.endswith('World')
text.endswith('Hello', 0, 5)
text.find('o')
text.find('o', 5)
text.rfind('o')
text.find('zz')
size.find('e')
text.index('W')
text.index('zz')
text.rindex('l')
text.count('l')
text.count('')
size.count('ö')
'aaa'.count('aa')
lines.splitlines()
lines.splitlines(true)
lines.splitlines(keepends=true)
'a\x0bb\x1cc\u2028d'.splitlines()
'7'.zfill(3)
'-7'.zfill(4)
'x'.center(6, '*')
'x'.center(5) ~ '|'
'ab'.center(5) ~ '|'
'x'.ljust(4, '.')
'x'.rjust(4, '.')
'a\tb'.expandtabs(4)
text.removeprefix('Hello ')
text.removesuffix(' World')
text.removeprefix('nope')
'abc'.isalpha()
'abc1'.isalpha()
'abc1'.isalnum()
'12'.isdigit()
'²'.isdigit()
'²'.isdecimal()
'½'.isnumeric()
'五'.isnumeric()
empty.isdigit()
' \t'.isspace()
'abc'.islower()
'ABC'.isupper()
'Hello World'.istitle()
'a_1'.isidentifier()
'abc'.isascii()
size.isascii()
'a\n'.isprintable()
', '.join(words)
', '.join(numbers)
'-'.join('abc')
'{} and {}'.format(1, 'x')
'{0} {1} {0}'.format('a', 'b')
'{a} {b[k]} {c.name}'.format(a=1, b={'k': 2}, c=people[0])
'{:>5}|{:<5}|{:^5}|{:*^7}'.format('a', 'b', 'c', 'd')
'{:05d} {:+d} {:x} {:#x} {:b} {:,} {:_}'.format(42, 42, 255, 255, 5, 1234567, 1234567)
'{:.2f} {:8.3f} {:e} {:g} {:%} {:.1%}'.format(3.14159, 2.5, 12345.678, 0.00001, 0.25, 0.125)
'{!r} {!s}'.format('a', 'b')
'{{}} {}'.format(1)
'{:{w}}|'.format('a', w=4)
'{:.2}'.format('abc')
'{:5}|{:5}|'.format(3, 'a')
'{-1}'.format(1, 2)
'{} {}'.format(1)
'{x}'.format_map({'x': 1})
'%s' % text
'%s is %d' % ('x', 3)
'%s' % 3.0
'%d' % 3.9
'%5.2f|%-8s|%08.3f|%+d' % (3.14159, 'ab', 2.5, 7)
'%x %X %o %#x %c %c' % (255, 255, 8, 255, 65, 'z')
'%e %E %g %G' % (12345.678, 0.00012, 1e10, 1e-10)
'%g %g %g' % (100000, 1000000, 0.0001)
'%r %s' % ('a', none)
'%(name)s is %(age)d' % people[0]
'%%' % ()
'100%% of %s' % 'x'
'%5s|%.2s|%*d' % ('a', 'abc', 4, 7)
'%s' % numbers
'%s %s' % 'x'
'%s' % (1, 2)
'%d' % 'x'
'%s %s'|format('a', 'b')
'%(a)s'|format(a=1)
'a' * 3
3 * 'ab'
'a' * 0
'a' * -1
[1] * 3
'a' + 'b'
'a' ~ 1 ~ none ~ true
1 ~ 2
'a' + 1
[1] + [2]
(1,) + (2,)
1 + 2.0
7 / 2
4 / 2
7 // 2
-7 // 2
7 % 3
-7 % 3
7 % -3
7.5 // 2
-7.5 % 2
2 ** 10
2 ** -1
2 ** 0.5
-2 ** 2
2 ** 3 ** 2
1 / 3
10 / 5 * 2
1 / 0
1 // 0
1 % 0
0.1 + 0.2
1e16
1e15
1.5e300 * 1e10
123456789.123
1e-5
0.0001
-0.0
100000000000000000.0
5 * 1.0
1_000
0x1F + 0b11 + 0o17
1.5e3
-n
+n
- f
n|abs
neg|abs
-3.5|abs
(-3)|abs
1 == 1.0
true == 1
'1' == 1
none == false
[1, 2] == [1, 2]
(1, 2) == [1, 2]
{'a': 1, 'b': 2} == {'b': 2, 'a': 1}
1 < 2 < 3
1 < 3 < 2
3 > 2 >= 2 != 1
'a' < 'b'
'Z' < 'a'
[1, 2] < [1, 3]
1 < 'a'
none < 1
not true
not empty
not none_of_it
not not text
1 and 2
0 or 'x'
'' or none_of_it or 'last'
none and 1
1 and 0 or 3
'ell' in text
'x' not in text
2 in numbers
'b' in nested
'z' in nested
1 in (1, 2)
1 in 'abc'
'a' in none
3 in range(5)
not 1 in numbers
'' in text
true and 'a' in 'abc'
'yes' if n > 5 else 'no'
'yes' if n > 50 else 'no'
'yes' if n > 50
('a' if no else 'b') ~ 'c'
'a' if no else 'b' if no else 'c'
(1 if yes else 2) + 1
'x' ~ ('a' if yes) ~ 'y'
[1 if yes else 2, 3]
none
nothing
true
True
None
false
[none, true, 1.0, 'a']
[]
{}
()
(1,)
(1, 2)
1, 2
{'a': 1, 'b': [1, 'x']}
{'z': 1, 'a': 2, 'm': 3}
{1: 'a', none: 'b', (1, 2): 'c', true: 'd'}
{'a': 1, 'a': 2}
['it\'s', "say \"x\"", 'both \' "', 'ü', '\n', '\x00', '\u200b', '\\']
mixed
nested
html
missing
missing.attr
missing['x']
missing is defined
missing is undefined
nested.missing
nested.missing is defined
nested.missing is none
nested.missing.deeper
nested.a.y[2].z is none
nested['a']['y'][0]
nested.a.y.2.z
numbers.0
nothing is none
nothing is not none
nothing.x is defined
nothing['x'] is defined
missing or 'default'
missing == missing2
missing == none
missing + 1
missing|length
missing|list
missing ~ 'a'
missing|string|length
missing in numbers
1 in missing
missing|default('d')
nothing|default('d')
nothing|default('d', true)
empty|d('d', boolean=true)
nested.missing|default
missing|upper
missing|int
missing|tojson
text is string
n is string
n is number
f is number
yes is number
n is integer
f is float
yes is integer
yes is boolean
nested is mapping
numbers is mapping
numbers is iterable
text is iterable
n is iterable
numbers is sequence
nested is sequence
text is sequence
range(3) is sequence
range(3) is iterable
n is odd
n is even
n is divisibleby 7
n is divisibleby(2)
text is lower
'abc' is lower
'ABC' is upper
yes is true
no is false
1 is true
n is sameas n
none is sameas none
1 is eq 1
1 is equalto 2
2 is gt 1
2 is greaterthan(3)
2 is ge 2
2 is lt 3
2 is lessthan 1
2 is le 2
2 is ne 3
2 is in numbers
9 is not in numbers
range is callable
text is callable
'upper' is filter
'nope' is filter
'defined' is test
x is not defined
not x is defined
missing is string
missing is iterable
missing is sequence
html is escaped
text|length
nested|length
numbers|count
n|length
numbers|first
numbers|last
none_of_it|first is defined
text|first
text|last
nested|first
numbers|sum
people|sum(attribute='age')
numbers|sum(start=10)
numbers|min
numbers|max
words|min
words|max
people|max(attribute='age')|string|length
none_of_it|max is defined
numbers|sort
numbers|sort(reverse=true)
words|sort
words|sort(case_sensitive=true)
people|sort(attribute='name')|map(attribute='name')|list
people|sort(attribute='age,name')|map(attribute='name')|join(' ')
mixed|sort
numbers|reverse|list
text|reverse
(numbers|reverse)|first
numbers|reverse
words|join
words|join(', ')
people|join(', ', attribute='name')
numbers|join('-')
nested|join(',')
mixed|join('|')
words|map('upper')|list
words|map('length')|join(',')
people|map(attribute='name')|list
people|map(attribute='city.name')|list
people|map(attribute='city.name', default='?')|list
people|map(attribute='zip', default='?')|list
words|map('replace', 'a', 'A')|list
messages|map(attribute='role')|join(' ')
words|map('upper')|length
words|map('nope')|list
numbers|select('odd')|list
numbers|select('gt', 1)|list
numbers|select('>', 1)|list
numbers|reject('odd')|list
mixed|select|list
mixed|select('string')|list
people|selectattr('age', 'equalto', 30)|map(attribute='name')|list
people|selectattr('city')|list|length
people|selectattr('city', 'defined')|map(attribute='name')|list
people|rejectattr('age', 'gt', 26)|list|length
messages|selectattr('role', 'equalto', 'user')|first
messages|selectattr('role', '==', 'system')|map(attribute='content')|first
messages|rejectattr('role', 'in', ['system', 'tool'])|list|length
(messages|selectattr('role', 'eq', 'tool'))|first|default('none')
'yes' if messages|selectattr('role', 'eq', 'tool') else 'no'
messages|selectattr('role', 'eq', 'tool')|list|length > 0
[1, 2, 2, 1, 3]|unique|list
['a', 'A', 'b']|unique|list
['a', 'A', 'b']|unique(case_sensitive=true)|list
people|unique(attribute='age')|map(attribute='name')|list
people|groupby('age')
people|groupby('age')|map('first')|list
people|groupby('age')|length
people|groupby('city.name', default='?')|map(attribute='grouper')|list
(people|groupby('age'))[0].list|length
numbers|batch(2)|list
numbers|batch(2, 'x')|list
[1,2,3,4,5]|slice(2)|list
[1,2,3,4,5]|slice(3, 0)|list
text|list
nested|list
'abc'|list
nested.items()
nested.keys()
nested.keys()|list
nested.values()|list|length
nested.items()|list|length
nested.items()|first
nested|items|list|length
nested.items() is sequence
{'b': 1, 'a': 2}.items()|list
{'b': 1, 'a': 2}.values()
{'b': 1, 'a': 2}|dictsort
{'b': 1, 'a': 2}|dictsort(reverse=true)
{'b': 1, 'a': 2}|dictsort(by='value')
{'b': 1, 'A': 2}|dictsort(true)
nested.get('b')
nested.get('zz')
nested.get('zz', 'd')
nested.get('a').get('y')|last
shadow.items is string
shadow['items']
shadow.x
shadow.keys()|list
shadow.get('items')
dict(a=1, b=2)
dict({'a': 1}, b=2)
dict([['a', 1]])
{'a': 1}.copy()
numbers.index(2)
numbers.count(1)
(1, 2, 1).count(1)
numbers.append(4)
nested.update({'a': 1})
nested.pop('b')
nested.append is defined
numbers.append is defined
text|string
n|string
f|string
none|string
'42'|int
'42.9'|int
'x'|int
'x'|int(5)
'0x1f'|int(base=16)
' 7 '|int
'1_000'|int
3.99|int
-3.99|int
true|int
none|int
none|int(default=3)
'inf'|int
'2.5'|float
'x'|float
'x'|float(1.5)
3|float
'1e3'|float
42.55|round
42.55|round(1)
42.5|round
43.5|round
2.675|round(2)
42.55|round(1, 'floor')
42.51|round(1, 'ceil')
42|round
1234|round(-2)
42.4|round|int
html|e
html|escape
html|safe
(html|e)|length
html|e|string
text|truncate(8)
text|truncate(5)
text|truncate(5, true)
text|truncate(8, leeway=0)
text|truncate(9, false, '…', 0)
'a\nb\n\nc'|indent
'a\nb\n\nc'|indent(2, true)
'a\nb\n\nc'|indent(2, blank=true)
'a\nb'|indent('> ')
'a\nb'|indent(2, first=true)
text|center(20) ~ '|'
text|wordcount
'a/b c&ü'|urlencode
{'a': 1, 'b c': '&'}|urlencode
123456789|filesizeformat
999|filesizeformat
1|filesizeformat
123456789|filesizeformat(true)
nested|tojson
nested|tojson(indent=2)
nested|tojson(indent=0)
mixed|tojson
mixed|tojson(indent=4)
html|tojson
size|tojson
size|tojson(ensure_ascii=true)
emoji|tojson(ensure_ascii=true)
'\x7f\x01\t"\\/'|tojson
'\x7f'|tojson(ensure_ascii=true)
'it\'s'|tojson
{'b': 1, 'a': 2}|tojson
{'b': 1, 'a': 2}|tojson(sort_keys=true)
{'b': 1, 'a': [1, 2]}|tojson(separators=(',', ':'))
{'b': [1]}|tojson(indent=2, separators=(',', ': '))
{1: 2, none: 3, true: 4, 1.5: 5}|tojson
(1, 2)|tojson
[]|tojson(indent=2)
{}|tojson(indent=2)
[[], {}]|tojson(indent=2)
none|tojson
true|tojson
1.0|tojson
1e100|tojson
range(3)|tojson
{'a': 1}|tojson(indent='\t')
n|tojson
tiny
huge
whole
big
big * 1000
'\u00e4\x41\t|\'|\"|\\|\d'
'\101'
"a" "b" 'c'
'multi
line'
text is string and n is number
(text|upper)[0]
text|upper|lower|title
text.lower().upper().split('O')
[1, 2, 3,]
{'a': 1,}
(1, 2,)
range(5)|list
range(2, 5)|list
range(5, 0, -2)|list
range(3)
range(0)|list
range(200000)|list
range(1, 10, 0)
namespace(a=1).a
namespace(a=1)
namespace({'a': 1}).a
namespace(a=1).b is defined
joiner(', ')()
cycler(1, 2).next()
cycler(1, 2).current
strftime_now('%d %b %Y')
strftime_now('%Y-%m-%d %H:%M:%S %j %A %B %y %a %%')
strftime_now('%-d/%-m %I %p %e %F %T %D %R %w %u %U %W %V %G %f')
strftime_now('%c|%x|%X|%h|%-I|%-H|%-M')
raise_exception('no')
raise_exception('no ' ~ n)
text.foo
text.upper is defined
text['upper']()
text|attr('upper')()
nested|attr('a')
people[0]|attr('name')
n.foo is defined
text.__class__
''.__class__.__mro__
n()
missing()
'a'.nope is defined
-n|abs
2 - -2
2 -1
n-1
not n == 7
n == 7 and f == 2.5
(n == 7) ~ ''
n > 5 is true
text.split(' ')|map('lower')|join('_')
text.split(' ')|map('first')|join
[('a', 1), ('b', 2)]|map('last')|list
words[0][0]|upper ~ words[0][1:]
messages|length - 1
messages[0]['content'] + '\n\n' if messages[0]['role'] == 'system' else ''
(messages|last).content
messages[messages|length - 1].role
[messages[0].role, messages[1].role]
messages[0] == {'role': 'system', 'content': 'S'}
messages.0.role
words|sort|first|lower
{'a': {'b': [1, 2]}}.a.b[1]
{'k': 'v'}['k']
{'k': 'v'}.k
'{"a": ' ~ 1 ~ '}'
numbers|string
[1, 2]|string|length
(1).bit_length()
1.5.is_integer()
text == 'Hello' ~ ' World'
text != 'x' and text
*numbers
text|nope
text is nope
text.upper
text|map
html|safe + '<'
'<' + html|safe
('<' ~ html|safe) ~ '<'
(html|safe).split('"')
(html|safe).strip('<') + '&'
[html|safe]
(html|safe)|upper + '<'
(html|safe)|replace('a', '<')
(html|safe)|trim|length
(html|safe)[0] + '<'
'%s<' % (html|safe)
nested|tojson|safe + '"'
'{:05}'.format('12') ~ '{:<06}'.format(-1) ~ '{:05}'.format(-1) ~ '{:>06}'.format('x')
missing|last
nested.missing|first is defined
-0.5|round(0, 'ceil')
(html|e).replace('&', '<')
text|pprint
html|striptags
text|wordwrap(5)
numbers|random
text|urlize
{'a': 1}|xmlattr
lipsum(1)
text.encode()
text.translate({})
(1).real
1 +
(1
""".strip("\n").split("\n")

# A literal with a line break in it was cut in two above.
at = EXPRESSIONS.index("'multi")
EXPRESSIONS[at : at + 2] = ["'multi\nline'"]

# Statements, white space, scopes.
TEMPLATES = [
    "a\n", "a\n\n", "a\r\nb\rc\r\n", "", "\n", " {{ n }} ", "{{ n }}\n", "{{ n }}\n\n",
    "{%if n%}a{%endif%}\nb", "  {% if n %}\n  a\n  {% endif %}\nb", "x {% if n %} a {% endif %} y",
    "a  {%- if n %}  b  {%- endif %}  c", "a  {% if n -%}  b  {% endif -%}  c", "a\n\n {{- n }} \n b", "a {{ n -}} \n\n b",
    "  {%+ if n %}a{%+ endif %}\nb", "{% if n +%}\na{% endif %}", "{#c#}\na", "  {# c #}\na", "a {#- c -#} b", "  {#+ c #}x",
    "{# {{ n }} {% if %} #}x", "{# a\nb #}\nc", "{{ '{{' }} {{ '}}' }} {{ '{%' }}", "{{ {'a': {'b': 1}}.a.b }}", "{{{'a': 1}.a}}",
    "{% raw %}{{ x }} {% if %}{% endraw %}", "a {%- raw -%}  {{ x }}  {%- endraw -%} b", "{% raw %}\na\n{% endraw %}\nb",
    "\t{% if n %}\n\ta{% endif %}", "a\n   {% set x = 1 %}   \nb", "   {{ n }}", "{{ n }}   \n{% if n %}\n{% endif %}x",
    "{% for i in numbers %}{{ i }},{% endfor %}", "{% for i in numbers -%}\n {{ i }}\n{%- endfor %}", "{%- for i in numbers %}\n{{ i }}\n{% endfor -%}\n!",
    "{% for i in none_of_it %}x{% else %}none{% endfor %}", "{% for i in missing %}x{% else %}none{% endfor %}", "{% for i in nothing %}x{% endfor %}",
    "{% for i in n %}x{% endfor %}", "{% for c in size %}{{ c }}.{% endfor %}", "{% for k in nested %}{{ k }} {% endfor %}",
    "{% for k, v in {'b': 1, 'a': 2}.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k, v in {'b': 1, 'a': 2}|dictsort %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in {'b': 1}|items %}{{ k }}={{ v }};{% endfor %}", "{% for a, b in [[1, 2], (3, 4)] %}{{ a }}{{ b }};{% endfor %}", "{% for a, b in [[1]] %}x{% endfor %}",
    "{% for (a, b), c in [[(1, 2), 3]] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for i in numbers %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}",
    "{% for i in numbers %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {% endfor %}", "{% for i in numbers %}{{ loop.previtem is defined }}{{ loop.nextitem is none }}{% endfor %}",
    "{% for i in numbers %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for i in [1, 1, 2] %}{{ loop.changed(i) }}{% endfor %}",
    "{% for i in numbers if i > 1 %}{{ i }}{{ loop.index }}/{{ loop.length }} {% endfor %}", "{% for i in numbers if i > 5 %}x{% else %}none{% endfor %}",
    "{% for i in numbers %}{% if i == 1 %}{% break %}{% endif %}{{ i }}{% endfor %}", "{% for i in numbers %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %}",
    "{% for i in numbers %}{% for j in numbers %}{% if j == 1 %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}{% endfor %}", "{% break %}", "{% for i in numbers %}{% continue %}{% else %}none{% endfor %}", "{% for i in numbers %}{% if i == 1 %}{% break %}{% endif %}{% else %}none{% endfor %}", "{% for i in numbers %}{% break %}{% else %}none{% endfor %}",
    "{% for i in numbers %}{% for j in 'ab' %}{{ loop.index }}{{ loop.depth }}{% endfor %}{{ loop.index }} {% endfor %}",
    "{% for i in tree recursive %}{{ i.v }}{% if i.kids %}({{ loop(i.kids) }}){% endif %}{{ loop.depth }}{% endfor %}", "{% for i in numbers %}{{ loop([1]) }}{% endfor %}",
    "{% for i in range(3) %}{{ i }}{% endfor %}{{ i is defined }}", "{% for i in numbers[::-1] %}{{ i }}{% endfor %}", "{% for i in numbers|reverse %}{{ i }}{% endfor %}",
    "{% for m in messages[1:] %}{{ m.role }}{{ loop.index0 }}{% endfor %}", "{% for i in 1, 2 %}{{ i }}{% endfor %}", "{% for i in (numbers if no else words) %}{{ i }}{% endfor %}",
    "{% for i in numbers %}{{ loop }}{% endfor %}", "{% for i in words|map('upper') %}{{ i }}{{ loop.last }}{% endfor %}",
    "{% set x = 0 %}{% for i in numbers %}{{ x }}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}", "{% set ns = namespace(x=0) %}{% for i in numbers %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}",
    "{% if yes %}{% set y = 1 %}{% endif %}{{ y }}", "{% if no %}{% set y = 1 %}{% endif %}{{ y is defined }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a = 1, 2 %}{{ a }}",
    "{% set x %}a{{ n }}b{% endset %}{{ x }}{{ x is string }}", "{% set x | upper %}abc{% endset %}{{ x }}", "{% set x | trim | upper %} abc {% endset %}[{{ x }}]",
    "{% set x %}{% set y = 1 %}{% endset %}{{ y is defined }}", "{% set ns = namespace() %}{% set ns.a = 1 %}{% set ns.b = [ns.a] %}{{ ns.b }}", "{% set n.x = 1 %}", "{% set ns = namespace(_a=1) %}",
    "{% set ns = namespace() %}{% set ns._x = 1 %}", "{% set none = 1 %}", "{% set x = y = 1 %}", "{% set text = 'new' %}{{ text }}", "{% set messages = messages[1:] %}{{ messages|length }}",
    "{% set ns = namespace(l=[]) %}{% for i in numbers %}{% set ns.l = ns.l + [i * 2] %}{% endfor %}{{ ns.l }}", "{% set d = {'a': 1} %}{% set d = dict(d, **{'b': 2}) %}{{ d }}",
    "{% if n > 5 %}a{% elif n > 3 %}b{% else %}c{% endif %}", "{% if n > 50 %}a{% elif n > 3 %}b{% else %}c{% endif %}", "{% if n > 50 %}a{% elif n > 30 %}b{% else %}c{% endif %}", "{% if not nothing %}x{% endif %}",
    "{% if missing %}a{% else %}b{% endif %}", "{% if missing.x %}a{% endif %}", "{% if nested.missing %}a{% else %}b{% endif %}", "{% if 'a' in nested and nested.a is mapping %}x{% endif %}", "{% if 0.0 or '' or [] or {} or () or none %}x{% else %}y{% endif %}",
    "{% macro m(a, b=2) %}[{{ a }},{{ b }}]{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=4, a=5) }}{{ m() }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(x=1) }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}", "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(1) }}", "{% macro m(a=n) %}{{ a }}{{ text }}{% endmacro %}{{ m() }}",
    "{% macro m() %}  x  {% endmacro %}[{{ m()|trim }}]{{ m() is string }}{{ m()|length }}", "{% macro f(k) %}{{ k }}{% if k > 0 %}{{ f(k - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% macro m() %}{{ x }}{% endmacro %}{% set x = 1 %}{{ m() }}", "{% set x = 1 %}{% macro m() %}{{ x }}{% set x = 2 %}{{ x }}{% endmacro %}{{ m() }}{{ x }}", "{% for i in numbers %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}x{{ n }}{% endcall %}", "{% macro m() %}<{{ caller(1, 2) }}>{% endmacro %}{% call(a, b) m() %}{{ a }}-{{ b }}{% endcall %}", "{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}",
    "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}", "{% macro m(x) %}{% endmacro %}{{ m }}{{ m.name }}{{ m.arguments }}", "{{ m() }}{% macro m() %}x{% endmacro %}", "{% macro m(a=1, b) %}{% endmacro %}",
    "{% macro m(a, *b) %}{% endmacro %}", "{% macro m(x) %}{{ x|upper }}{% endmacro %}{% set l = [m('a'), m('b')] %}{{ l }}", "{% macro m(a, b, c) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(*[1, 2], **{'c': 3}) }}",
    "{% filter upper %}a{{ text }}{% endfilter %}", "{% filter replace('a', 'b') | upper %}aaa{% endfilter %}", "{% filter trim %}  x  {% endfilter %}|", "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}", "{% with %}{% set q = 1 %}{% endwith %}{{ q is defined }}",
    "{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}", "{% block b %}x{{ n }}{% endblock %}y", "{% block b %}x{% endblock b %}", "{% set q = 1 %}{% block b %}{{ q }}{% endblock %}", "{% for i in numbers %}{% block b scoped %}{{ i }}{% endblock %}{% endfor %}",
    "{% for i in numbers %}{% block b %}{{ i is defined }}{% endblock %}{% endfor %}", "{% print n %}", "{% print n, text %}", "{% do n %}", "{% trans %}x{% endtrans %}", "{% nope %}", "{% if %}x{% endif %}", "{% if n %}x", "{% endif %}", "{% for i numbers %}{% endfor %}",
    "{% generation %}a{{ n }}{% endgeneration %}", "{% generation %}{% set q = 1 %}{{ q }}{% endgeneration %}{{ q is defined }}", "a\n{% generation %}\nb\n{% endgeneration %}\nc", "{%- generation -%} x {%- endgeneration -%} y",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.next() }}{% set _ = c.reset() %}{{ c.current }}", "{% set j = joiner('|') %}{% for i in numbers %}{{ j() }}{{ i }}{% endfor %}",
    "{% set g = numbers|select('odd') %}{{ g|list }}{{ g|list }}", "{% set g = words|map('upper') %}{% for i in g %}{{ i }}{% endfor %}{% for i in g %}{{ i }}{% endfor %}", "{% set g = words|map('upper') %}{{ g|first }}{{ g|first }}",
    "{% for g in people|groupby('age') %}{{ g.grouper }}:{{ g.list|length }} {% endfor %}", "{% for age, group in people|groupby('age') %}{{ age }}={{ group|map(attribute='name')|join('+') }};{% endfor %}",
    "{% for row in numbers|batch(2) %}{{ row }}{% endfor %}", "{{ numbers|join(',') if numbers else 'none' }}", "{{ n }}{{ f }}{{ text }}", "{{ n if yes }}{{ n if no }}", "{{ undefined_function() if no else 'ok' }}", "{{- n -}}", "{{n}}{{-n}}",
    "{{ 'a' }}\n{{- 'b' }}\n{{ 'c' -}}\nd", "{% set x = 'a' -%}\n\n  {{ x }}", "{% set x = ['a',\n 'b'] %}{{ x }}", "{{ x.y.z }}", "{{ 1 }", "{{ 1", "{% if n", "{# x", "{% raw %}x", "{{ 'x }}", "{{ [1, 2 }}", "{{ (1] }}", "{{ a b }}", "{{ 1 1 }}", "{{ . }}", "{{ }}", "{{ n ; }}", "{{ n ! }}", "{{ $ }}", "{ { n } }", "{", "a{", "{}", "{{ '' }}{", "%}", "}}",
    "{% set x = {'a': 1, 'b': 2} %}{% for k in x %}{{ k }}{{ x[k] }}{% endfor %}", "{% for k, v in nested.a.items() %}{{ k }}{{ v|tojson }}{% endfor %}", "{{ namespace(x=1, y=[2]).y[0] }}", "{% if no %}{{ text|nope }}{% endif %}y", "{% if no %}x{% elif text is nope %}{% endif %}y", "{{ text|nope if no else 'y' }}", "{% if no %}{% for i in numbers %}{{ i|nope }}{% endfor %}{% endif %}y", "{% for i in numbers %}{% if no %}{{ i|nope }}{% endif %}{% endfor %}y", "{% if yes %}{{ text|nope }}{% endif %}y", "{% if no %}{{ words|map('nope')|list }}{% endif %}y", "{% include 'x' %}", "{% extends 'x' %}", "{% import 'x' as y %}", "{% autoescape true %}x{% endautoescape %}", "{% autoescape false %}<{{ html }}{% endautoescape %}",
    "{% set content = '<think>a</think>b' %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1].lstrip('\\n') %}{% endif %}{{ content }}",
    "{%- set ns = namespace(last=-1) -%}{%- for m in messages -%}{%- if m.role == 'user' -%}{%- set ns.last = loop.index0 -%}{%- endif -%}{%- endfor -%}{{ ns.last }}",
    "{%- for message in messages[::-1] %}{%- set index = (messages|length - 1) - loop.index0 %}{{ index }}{{ message.role }} {% endfor %}",
    "{%- for m in messages %}{%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('alternate') }}{% endif %}{% endfor %}",
    "{{ bos_token }}{{ bos_token is defined }}", "{{ tools is none }}{{ tools is defined }}", "{%- if tools is not none and tools %}x{% else %}y{% endif %}", "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% endif %}", "{{ 'a' if strftime_now is defined and strftime_now is callable }}",
    "{{ {'a': 1}['a'] }}", "{{ 'a,b'.split(',')[1] }}", "{{ ('a', 'b')[1] }}", "{{ 'x'.join(['a', 'b']) }}", "{{ 5.0 }} {{ 5 }} {{ '5' }}", "{{ '\\n' }}|{{ '\\\\n' }}|{{ \"\\t\" }}", "{{ text . upper ( ) }}", "{{ text | upper | length }}", "{{ numbers [ 0 ] }}",
    "{%set x=1%}{{x}}", "{%-set x=1-%}{{x}}", "{% if n==7 %}y{% endif %}", "{% if(n==7) %}y{% endif %}", "{% if not(no) %}y{% endif %}", "{% for i in[1,2] %}{{i}}{% endfor %}", "{{ 1if yes else 2 }}", "{{ [1,2,3][1:]|join(',') }}", "{{ 3.0|int ~ '' }}", "{% set größe = 1 %}{{ größe }}",
    "{{ nested.quote }}", "{{ (nested.quote|tojson)|length }}", "{{ messages|tojson }}", "{{ messages|tojson(indent=4) }}", "{{ people|tojson(ensure_ascii=False) }}", "{{ 'ä'|tojson(ensure_ascii=False, indent=2) }}",
]

FEATURES = ["{{ " + e + " }}" for e in EXPRESSIONS] + TEMPLATES
