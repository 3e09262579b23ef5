"""The part of PowerShell's language that scripts for Exchange use, as a tree.

Statements, pipelines and expressions as Microsoft's about_ pages describe them: about_Parsing, about_Operators and
about_Operator_Precedence, about_Quoting_Rules, about_Hash_Tables, about_Splatting, about_If, about_Foreach,
about_For, about_While, about_Do, about_Try_Catch_Finally. What is not read here raises UnmodelledError: it may well be
PowerShell.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from provisioner.sandbox.psrp_tree import (
    Argument,
    Assignment,
    Block,
    Cast,
    Command,
    ForEach,
    Group,
    If,
    Index,
    Items,
    Jump,
    Literal,
    Member,
    Method,
    Operation,
    Pipeline,
    SyntaxFaultError,
    Table,
    Text,
    Try,
    UnmodelledError,
    Variable,
    While,
)

_KEYWORDS = frozenset({
    "if", "foreach", "try", "return", "throw", "break", "continue", "for", "while", "do", "switch", "function",
    "filter", "param", "begin", "process", "end", "class", "enum", "using", "trap", "exit", "data", "workflow",
})  # fmt: skip
_LOGICAL = re.compile(r"-(and|or|xor)\b", re.IGNORECASE)
_COMPARING = re.compile(
    r"-[ci]?(eq|ne|gt|ge|lt|le|like|notlike|match|notmatch|contains|notcontains|in|notin|replace|split|join)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)(kb|mb|gb|tb)?(?![\w]|\.(?!\.))", re.IGNORECASE)
_NUMBER_ALONE = re.compile(r"(-?)(\d+(?:\.\d+)?)(kb|mb|gb|tb)?(?=[\s,;|)}]|$)", re.IGNORECASE)
_BYTES = {"kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40}
_NAME = re.compile(r"[A-Za-z_]\w*")
_VARIABLE = re.compile(r"\$(?:\{([^}]+)\}|((?:global:|script:|local:)?(?:\w+|[?^$])))", re.IGNORECASE)
_ENDS = frozenset("|;)}\n")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b"}


def parse(script: str) -> tuple[Any, ...]:
    """The statements of a script. Raises UnmodelledError, SyntaxFaultError."""
    parser = _Parser(script.replace("\r\n", "\n"))
    found = parser.statements("")
    if parser.at < len(parser.text):
        raise SyntaxFaultError(f"Unexpected token '{parser.text[parser.at]}' in expression or statement.")
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    # --- characters

    def _next(self, count: int = 1) -> str:
        return self.text[self.at : self.at + count]

    def _space(self, *, lines: bool = False) -> None:
        """Spaces, comments and continued lines; with `lines` the ends of lines too."""
        while True:
            if self._next(2) == "<#":
                end = self.text.find("#>", self.at)
                self.at = len(self.text) if end < 0 else end + 2
            elif self._next() == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif self._next(2) == "`\n":
                self.at += 2
            elif self._next() in {" ", "\t", "\r", "\ufeff"} or (lines and self._next() == "\n"):
                self.at += 1
            else:
                return

    def _take(self, word: str) -> bool:
        self._space()
        if not self.text.startswith(word, self.at):
            return False
        self.at += len(word)
        return True

    def _need(self, word: str, fault: str) -> None:
        self._space(lines=True)
        if not self._take(word):
            raise SyntaxFaultError(fault)

    def _word(self, expression: re.Pattern[str]) -> re.Match[str] | None:
        found = expression.match(self.text, self.at)
        if found:
            self.at = found.end()
        return found

    # --- statements

    def statements(self, end: str) -> tuple[Any, ...]:
        """Statements up to a closing bracket, which is left."""
        found: list[Any] = []
        while True:
            self._space(lines=True)
            if self._next() == ";":
                self.at += 1
            elif not self._next() or (end and self._next() == end):
                return tuple(found)
            else:
                before = self.at
                found.append(self._statement())
                self._space()
                if self.at == before or self._next() not in {"", ";", "\n", end}:
                    if isinstance(found[-1], If | ForEach | Try | While | Group):  # these end with their bracket
                        continue
                    raise SyntaxFaultError(f"Unexpected token '{self._next()}' in expression or statement.")

    def _body(self) -> tuple[Any, ...]:
        self._need("{", "Missing statement block.")
        found = self.statements("}")
        self._need("}", "Missing closing '}' in statement block or type definition.")
        return found

    def _condition(self) -> Any:
        self._need("(", "Missing '(' after the keyword of a statement.")
        self._space(lines=True)
        found = self._pipeline()
        self._need(")", "Missing closing ')' after expression in a statement.")
        return found

    def _statement(self) -> Any:
        word = _NAME.match(self.text, self.at)
        keyword = word[0].lower() if word else ""
        if word is None or keyword not in _KEYWORDS or self.text[word.end() : word.end() + 1] == "-":
            return self._pipeline()
        self.at = word.end()
        match keyword:
            case "if":
                return self._if()
            case "foreach":
                return self._foreach()
            case "try":
                return self._try()
            case "while":
                return While(self._condition(), self._body())
            case "do":
                return self._do()
            case "for":
                return self._for()
            case "return" | "throw" | "break" | "continue":
                self._space()
                return Jump(keyword, None if self._next() in _ENDS or not self._next() else self._pipeline())
            case _:
                raise UnmodelledError(f"the keyword {keyword}")

    def _keyword_follows(self, word: str) -> bool:
        before = self.at
        self._space(lines=True)
        if self._word(re.compile(rf"{word}\b", re.IGNORECASE)):
            return True
        self.at = before
        return False

    def _if(self) -> If:
        cases = [(self._condition(), self._body())]
        while self._keyword_follows("elseif"):
            cases.append((self._condition(), self._body()))
        return If(tuple(cases), self._body() if self._keyword_follows("else") else ())

    def _foreach(self) -> ForEach:
        self._need("(", "Missing opening '(' after keyword 'foreach'.")
        self._space()
        name = self._word(_VARIABLE)
        if name is None or not self._keyword_follows("in"):
            raise SyntaxFaultError("Missing variable name after foreach.")
        self._space()
        over = self._pipeline()
        self._need(")", "Missing closing ')' after expression in foreach loop.")
        return ForEach(name[1] or name[2], over, self._body())

    def _do(self) -> While:
        body = self._body()
        until = self._keyword_follows("until")
        if not until and not self._keyword_follows("while"):
            raise SyntaxFaultError("Missing while or until keyword in do loop.")
        return While(self._condition(), body, after=True, until=until)

    def _for(self) -> Group:
        """A loop of its own beginning: both are one statement."""
        self._need("(", "Missing opening '(' after keyword 'for'.")
        parts: list[Any] = []
        for end in (";", ";", ")"):
            self._space(lines=True)
            parts.append(None if self._next() == end else self._statement())
            self._need(end, "Missing closing ')' after expression in for loop.")
        begin, condition, step = parts
        loop = While(Literal(True) if condition is None else condition, self._body(), (step,) if step else ())
        return Group((begin, loop) if begin else (loop,), many=False)

    def _try(self) -> Try:
        body = self._body()
        caught: tuple[Any, ...] | None = None
        if self._keyword_follows("catch"):
            self._space(lines=True)
            if self._next() == "[":
                raise UnmodelledError("catch with a type")
            caught = self._body()
        finally_ = self._body() if self._keyword_follows("finally") else ()
        if caught is None and not finally_:
            raise SyntaxFaultError("The Try statement is missing its Catch or Finally block.")
        return Try(body, caught, finally_)

    # --- pipelines

    def _pipeline(self) -> Any:
        first = self._element()
        if isinstance(first, Assignment):
            return first
        elements = [first]
        while self._pipe():
            elements.append(self._element())
        return Pipeline(tuple(elements))

    def _pipe(self) -> bool:
        before = self.at
        self._space(lines=True)  # PowerShell 7 takes a pipe at the beginning of the next line too
        if self._next() == "|" and self._next(2) != "||":
            self.at += 1
            self._space(lines=True)
            return True
        self.at = before
        return False

    def _element(self) -> Any:
        self._space()
        if self._next() in {"&", "."} and self.text[self.at + 1 : self.at + 2] in {" ", "{", "$"}:
            self.at += 1
            self._space()
            return self._command(self._primary())
        if self._next() and (self._next() in "$\"'(@[{!+-" or self._next().isdigit()):
            value = self._expression()
            step = self._word(re.compile(r"\+\+|--"))
            if step:
                return Assignment(value, f"{step[0][0]}=", Literal(1))
            self._space()
            operator = self._word(re.compile(r"[+\-*/]?=(?!=)"))
            if operator is None:
                return value
            if not isinstance(value, Variable | Member | Index):
                raise SyntaxFaultError(
                    "The assignment expression is not valid. The input to an assignment operator must be an object "
                    "that is able to accept assignments, such as a variable or a property."
                )
            self._space(lines=True)
            return Assignment(value, operator[0], self._statement())
        name = self._bare(frozenset("|;(){}\n \t,'\"&"))
        if not name:
            raise SyntaxFaultError("An empty pipe element is not allowed.")
        return self._command(Literal(name))

    def _command(self, name: Any) -> Command:
        arguments: list[Argument] = []
        while True:
            self._space()
            if not self._next() or self._next() in _ENDS:
                return Command(name, tuple(arguments))
            if self._next() in "<>&" or re.match(r"\d?>", self._next(2)):
                raise UnmodelledError("redirection")
            parameter = self._word(re.compile(r"-([A-Za-z_?]\w*)(:?)"))
            if parameter and parameter[2]:
                self._space()
                arguments.append(Argument(parameter[1], self._values()))
            elif parameter:
                arguments.append(Argument(parameter[1]))
            elif splat := self._word(re.compile(r"@([A-Za-z_]\w*)")):
                arguments.append(Argument(None, Variable(splat[1]), splat=True))
            else:
                arguments.append(Argument(None, self._values()))

    def _values(self) -> Any:
        """An argument: one value, or several with commas between them."""
        found = [self._value()]
        while self._take(","):
            self._space(lines=True)
            found.append(self._value())
        return found[0] if len(found) == 1 else Items(tuple(found))

    def _value(self) -> Any:
        self._space()
        if self._next() and (self._next() in "$\"'({" or self._next(2) in {"@(", "@{", "@'", '@"'}):
            return self._primary()
        number = self._word(_NUMBER_ALONE)
        if number:
            return Literal(_number(number[2], number[3]) * (-1 if number[1] else 1))
        bare = self._bare(frozenset("|;(){}\n \t,'\""))
        if not bare:
            raise SyntaxFaultError("Missing argument in parameter list.")
        if "$" in bare:
            return Text(self._parts(bare))
        return Literal(bare)

    def _bare(self, ends: frozenset[str]) -> str:
        found = []
        while self._next() and self._next() not in ends:
            if self._next() == "`" and self.text[self.at + 1 : self.at + 2]:
                self.at += 1
            found.append(self._next())
            self.at += 1
        return "".join(found)

    # --- expressions

    def _expression(self) -> Any:
        return self._chain(_LOGICAL, lambda: self._chain(_COMPARING, self._sum))

    def _chain(self, operators: re.Pattern[str], operand: Callable[[], Any]) -> Any:
        """Operands with operators of one rank between them, from the left; a line may end after an operator."""
        found = operand()
        while True:
            self._space()
            operator = self._word(operators)
            if operator is None:
                return found
            self._space(lines=True)
            found = Operation(operator[0].lower(), (found, operand()))

    def _sum(self) -> Any:
        return self._chain(re.compile(r"[+\-](?![=A-Za-z+\-])"), self._product)

    def _product(self) -> Any:
        return self._chain(re.compile(r"[*/%](?!=)"), lambda: self._chain(re.compile(r"\.\."), self._list))

    def _list(self) -> Any:
        found = [self._unary()]
        while self._take(","):
            self._space(lines=True)
            found.append(self._unary())
        return found[0] if len(found) == 1 else Items(tuple(found))

    def _unary(self) -> Any:
        self._space()
        operator = self._word(re.compile(r"!|-not\b|-join\b|-(?=[\d$(])|\+(?=[\d$(])", re.IGNORECASE))
        if operator:
            return Operation(f"unary {operator[0].lower()}", (self._unary(),))
        cast = self._word(re.compile(r"\[([\w.]+(?:\[\])?)\]"))
        if cast:
            if self._next(2) == "::":
                raise UnmodelledError("a static member of a type")
            return Cast(cast[1].lower(), self._unary())
        return self._primary()

    def _primary(self) -> Any:
        found = self._plain()
        while True:
            if self._next() == "[":
                self.at += 1
                self._space(lines=True)
                index = self._expression()
                self._need("]", "Array index expression is missing or not valid.")
                found = Index(found, index)
            elif self._next() == "." and re.match(r"\.[\w'\"$(]", self._next(2)):
                self.at += 1
                found = self._member(found)
            else:
                return found

    def _member(self, target: Any) -> Any:
        name = self._word(re.compile(r"\w+"))
        if name is None:
            return Member(target, self._plain())
        if self._next() != "(":
            return Member(target, Literal(name[0]))
        self.at += 1
        arguments = []
        self._space(lines=True)
        while self._next() != ")":
            arguments.append(self._chain(_LOGICAL, lambda: self._chain(_COMPARING, self._argument_sum)))
            self._space(lines=True)
            if self._next() == ",":
                self.at += 1
                self._space(lines=True)
            elif self._next() != ")":
                raise SyntaxFaultError("Missing ')' in method call.")
        self.at += 1
        return Method(target, name[0].lower(), tuple(arguments))

    def _argument_sum(self) -> Any:
        return self._chain(re.compile(r"[+\-](?![=A-Za-z+\-])"), self._unary)

    def _plain(self) -> Any:
        text = self.text
        match self._next():
            case "$" if self._next(2) == "$(":
                return self._group(2, many=False)
            case "$":
                name = self._word(_VARIABLE)
                if name is None:
                    raise UnmodelledError("a variable of this name")
                if text[self.at : self.at + 1] == ":":
                    raise UnmodelledError("a variable with a namespace")
                return Variable((name[1] or name[2]).rpartition(":")[2])
            case "(":
                return self._group(1, many=False)
            case "@" if self._next(2) == "@(":
                return self._group(2, many=True)
            case "@" if self._next(2) == "@{":
                return self._table()
            case "@" if self._next(3) in {"@'\n", '@"\n'}:
                return self._here()
            case "{":
                return Block(self._body())
            case "'":
                return Literal(self._single())
            case '"':
                return Text(self._parts(self._double()))
            case _:
                number = self._word(_NUMBER)
                if number is None:
                    raise SyntaxFaultError(f"Unexpected token '{self._next()}' in expression or statement.")
                return Literal(_number(number[1], number[2]))

    def _group(self, opening: int, *, many: bool) -> Group:
        self.at += opening
        found = self.statements(")")
        self._need(")", "Missing closing ')' in expression.")
        return Group(found, many)

    def _table(self) -> Table:
        self.at += 2
        pairs: list[tuple[Any, Any]] = []
        while True:
            self._space(lines=True)
            if self._next() == ";":
                self.at += 1
                continue
            if self._next() == "}":
                self.at += 1
                return Table(tuple(pairs))
            word = self._word(re.compile(r"[\w-]+(?=\s*=)"))
            key = Literal(word[0]) if word else self._primary()
            self._need("=", "Missing '=' operator after key in hash literal.")
            self._space(lines=True)
            pairs.append((key, self._statement()))
            self._space()
            if self._next() not in {";", "\n", "}"}:
                raise SyntaxFaultError("The hash literal was incomplete.")

    def _single(self) -> str:
        found = self._word(re.compile(r"'((?:[^']|'')*)'"))
        if found is None:
            raise SyntaxFaultError("The string is missing the terminator: '.")
        return found[1].replace("''", "'")

    def _double(self) -> str:
        """What is between double quotes, as written; a sub-expression may have quotes of its own."""
        start = self.at = self.at + 1
        while self._next():
            if self._next() == "`":
                self.at += 2
            elif self._next(2) == "$(":
                self._group(2, many=False)
            elif self._next(2) == '""':
                self.at += 2
            elif self._next() == '"':
                self.at += 1
                return self.text[start : self.at - 1]
            else:
                self.at += 1
        raise SyntaxFaultError('The string is missing the terminator: ".')

    def _here(self) -> Any:
        quote = self._next(2)[1]
        end = self.text.find(f"\n{quote}@", self.at + 2)
        if end < 0:
            raise SyntaxFaultError(f"The string is missing the terminator: {quote}@.")
        found = self.text[self.at + 3 : max(end, self.at + 3)]
        self.at = end + 3
        return Literal(found) if quote == "'" else Text(self._parts(found, quotes=False))

    def _parts(self, written: str, *, quotes: bool = True) -> tuple[Any, ...]:
        """The parts of a text that is expanded."""
        inner, parts, plain = _Parser(written), [], ""
        while char := inner._next():
            if char == "`" and inner.at + 1 < len(written):
                following = written[inner.at + 1]
                plain += _ESCAPES.get(following, "" if following == "\n" else following)
                inner.at += 2
            elif quotes and inner._next(2) == '""':
                plain += '"'
                inner.at += 2
            elif inner._next(2) == "$(":
                parts += [plain, inner._group(2, many=False)]
                plain = ""
            elif char == "$" and (name := inner._word(_VARIABLE)):
                parts += [plain, Variable((name[1] or name[2]).rpartition(":")[2])]
                plain = ""
            else:
                plain += char
                inner.at += 1
        return (*parts, plain)


def _number(digits: str, unit: str | None) -> Any:
    value = float(digits) if "." in digits else int(digits)
    return value * _BYTES[unit.lower()] if unit else value
