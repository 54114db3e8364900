"""Finds statements on rows of organizations that do not say whose rows they want, by reading the source."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

import auth_service.tables
import chat_service.tables
import llm_service.tables
from auth_service.organizations.models import Organization
from migrations.metadata import METADATA

BASES = (auth_service.tables.Base, chat_service.tables.Base, llm_service.tables.Base)

assert [base.metadata for base in BASES] == METADATA, "a service has joined"
MAPPERS = [mapper for base in BASES for mapper in base.registry.mappers]
TENANT_COLUMN = {mapper.class_.__name__: "organization_id" for mapper in MAPPERS if "organization_id" in mapper.columns}
"""The mapped classes whose rows belong to organizations, and the column that says to which."""
TENANT_COLUMN[Organization.__name__] = "id"
TABLES = {str(mapper.local_table.description) for mapper in MAPPERS if mapper.class_.__name__ in TENANT_COLUMN}

STATEMENTS = {"select", "update", "delete", "insert"}
BY_KEY = {"get", "get_one"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def violations(source: str) -> list[str]:
    """The functions that read or write rows of organizations without naming one.

    A private function counts as part of those that call it: its statements may get their condition as an argument, or
    be given one where they are returned to. Whatever else its callers filter does not count for it. Where a statement
    is put together in several steps, the steps count together; what an executed statement has returned does not count
    for the next one.
    """
    module = _Module(ast.parse(source))
    return [name for name in module.functions if not _is_private_part(name, module) and not module.is_safe(name)]


def _is_private_part(name: str, module: "_Module") -> bool:
    return name.startswith("_") and any(name in module.calls[other] for other in module.functions if other != name)


@dataclass
class _Step:
    """A statement of Python's: what it assigns, and what it uses."""

    nodes: list[ast.AST]
    assigns: set[str] = field(default_factory=set)
    uses: set[str] = field(default_factory=set)
    executes: bool = False


class _Module:
    def __init__(self, tree: ast.Module) -> None:
        self.models = dict(_models(tree))
        self.functions: dict[str, Function] = {
            node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        self.steps = {name: list(_steps(function)) for name, function in self.functions.items()}
        self.calls = {
            name: {each.id for step in self.steps[name] for each in _names(step)} & set(self.functions)
            for name in self.functions
        }

    def is_safe(self, name: str) -> bool:
        return all(self._names_an_organization(nodes) for nodes in self._statements(name, seen=frozenset()))

    def _statements(self, name: str, *, seen: frozenset[str]) -> Iterator[list[ast.AST]]:
        """The nodes that belong to each statement of SQL in the function and in the private ones that it calls."""
        for step in self.steps[name]:
            if any(self._is_statement(node) for node in _walk(step.nodes)):
                yield self._whole(step, name, seen=seen | {name})
            for part in {each.id for each in _names(step)} & set(self.functions) - seen - {name}:
                if part.startswith("_"):
                    for nodes in self._statements(part, seen=seen | {name}):
                        yield [*nodes, *self._given_to(part, nodes, step=step, name=name)]

    def _given_to(self, part: str, nodes: list[ast.AST], *, step: _Step, name: str) -> list[ast.AST]:
        """What the function `name` adds in that step to a statement, `nodes`, of the private function `part`."""
        used = {node.id for node in _walk(nodes) if isinstance(node, ast.Name)}
        given: list[ast.AST] = []
        for call in _walk(step.nodes):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == part:
                positional = zip(self.functions[part].args.args, call.args, strict=False)
                given += [value for parameter, value in positional if parameter.arg in used]
                given += [keyword.value for keyword in call.keywords if keyword.arg in used]
        given += self._chained_to({part}, name)
        return given + self._defined_by(given, name)

    def _chained_to(self, roots: set[str], name: str) -> list[ast.AST]:
        """The arguments of methods that are called on what the `roots` return: `_own(user_id).where(…)`."""
        chained: list[ast.AST] = []
        for step in self.steps[name]:
            for node in _walk(step.nodes):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _root(node) in roots:
                    chained += node.args
            if step.assigns and not step.executes and any(_root(node) in roots for node in step.nodes):
                roots |= step.assigns
        return chained

    def _defined_by(self, nodes: list[ast.AST], name: str) -> list[ast.AST]:
        """The right-hand sides of the names in `nodes`, and of the names in those."""
        steps: list[_Step] = []
        names = {node.id for node in _walk(nodes) if isinstance(node, ast.Name)}
        while found := [s for s in self.steps[name] if s not in steps and s.assigns & names and not s.executes]:
            steps += found
            names |= {each for step in found for each in step.uses}
        return [node for step in steps for node in step.nodes]

    def _whole(self, start: _Step, name: str, *, seen: frozenset[str]) -> list[ast.AST]:
        steps, changed = [start], True
        while changed:
            changed = False
            built = {each for step in steps if not step.executes for each in step.assigns}
            used = {each for step in steps for each in step.uses}
            for step in self.steps[name]:
                defines = step.assigns & (used | built) and not step.executes
                if step not in steps and (defines or step.uses & built):
                    steps.append(step)
                    changed = True
        nodes = [node for step in steps for node in step.nodes]
        parts = {node.id for node in _walk(nodes) if isinstance(node, ast.Name)} & set(self.functions) - seen
        for part in parts:
            nodes += [node for step in self.steps[part] for node in step.nodes]
        return nodes

    def _is_statement(self, node: ast.AST) -> bool:
        if not isinstance(node, ast.Call):
            return False
        match node.func:
            case ast.Name(id="text"):
                return any(table in ast.unparse(node) for table in TABLES)
            case ast.Name(id=name):
                return name in STATEMENTS
            case ast.Attribute(attr=name):
                return name in BY_KEY and any(
                    isinstance(each, ast.Name) and each.id in self.models for each in node.args
                )
            case _:
                return False

    def _names_an_organization(self, nodes: list[ast.AST]) -> bool:
        found = list(_walk(nodes))
        raw = [node for node in found if isinstance(node, ast.Call) and ast.unparse(node.func) == "text"]
        if raw:
            return all("organization_id" in ast.unparse(node) for node in raw)
        used = {node.id for node in found if isinstance(node, ast.Name)}
        if not used & set(self.models):
            return True
        inserts = any(isinstance(node, ast.Call) and ast.unparse(node.func) == "insert" for node in found)
        return any(self._is_filter(node) or (inserts and _is_value(node)) for node in found)

    def _is_filter(self, node: ast.AST) -> bool:
        if isinstance(node, ast.keyword):
            return False
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".filter_by"):
            return any(keyword.arg == "organization_id" for keyword in node.keywords)
        if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Eq):
            return False
        return self._is_tenant(node.left) != self._is_tenant(node.comparators[0])

    def _is_tenant(self, node: ast.expr) -> bool:
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in self.models:
                return attribute == TENANT_COLUMN[self.models[name]]
            case _:
                return False


def _is_value(node: ast.AST) -> bool:
    match node:
        case ast.keyword(arg="organization_id") | ast.Constant(value="organization_id"):
            return True
        case _:
            return False


def _models(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The names under which the module knows them; `Other = aliased(User)` is one more."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((each.asname or each.name, each.name) for each in node.names if each.name in TENANT_COLUMN)
        match node:
            case ast.Assign(
                targets=[ast.Name(id=alias)],
                value=ast.Call(func=ast.Name(id="aliased"), args=[ast.Name(id=model), *_]),
            ) if model in TENANT_COLUMN:
                yield alias, model


def _steps(function: Function) -> Iterator[_Step]:
    parameters = {each.arg for each in ast.walk(function.args) if isinstance(each, ast.arg)}
    local = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for statement in ast.walk(ast.Module(body=function.body, type_ignores=[])):
        if not isinstance(statement, ast.stmt):
            continue
        nodes = [child for child in ast.iter_child_nodes(statement) if not isinstance(child, ast.stmt)]
        step = _Step(nodes)
        for name in _names(step):
            if name.id in local and name.id not in parameters:
                (step.assigns if isinstance(name.ctx, ast.Store) else step.uses).add(name.id)
        opens = isinstance(statement, ast.With | ast.AsyncWith)  # a session, which is no statement of SQL
        step.executes = opens or any(isinstance(node, ast.Await) for node in _walk(nodes))
        yield step


def _root(node: ast.AST) -> str | None:
    """The name at the beginning of a chain of calls and attributes."""
    while not isinstance(node, ast.Name):
        match node:
            case ast.Call(func=inner) | ast.Attribute(value=inner) | ast.Await(value=inner):
                node = inner
            case _:
                return None
    return node.id


def _names(step: _Step) -> Iterator[ast.Name]:
    return (node for node in _walk(step.nodes) if isinstance(node, ast.Name))


def _walk(nodes: list[ast.AST]) -> Iterator[ast.AST]:
    for node in nodes:
        yield from ast.walk(node)
