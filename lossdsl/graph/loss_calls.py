"""A loss by name: a formula is opened and read with its parameters, a kernel becomes one node."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from lossdsl.checking.arguments import default_hint, default_list, flat, out_of_range
from lossdsl.checking.heads import pair_of, takes_head
from lossdsl.checking.resolved import PerClass, Reduction, Resolved, TensorOf, Use, Where, Word
from lossdsl.checking.vocabulary import TENSORS
from lossdsl.graph.frames import HEAD_TENSORS, Fault, Frame, Operand, Value, met, node_of, the_axes, with_its_mean
from lossdsl.graph.heads import Chosen, Head, marked, narrowed, parted
from lossdsl.graph.multiscale import check_entry, check_exit
from lossdsl.graph.nodes import NO_AXES, Node
from lossdsl.graph.reader import Reader
from lossdsl.graph.reduction_calls import without_its_mean
from lossdsl.graph.trace import Used
from lossdsl.registry.model import Formula, Kernel, Loss, Parameter, Taken, full_name, plain_number
from lossdsl.syntax import tree
from lossdsl.tasks import TASKS, task_record


def use_loss(reader: Reader, use: Use, frame: Frame) -> Node | Chosen:
    """The value of a loss by name: its text opened, or its kernel called.

    Of tensors of which some classes count, it is the loss with these classes: `dice(for_class(p, [1]), y)` is
    `for_class(dice(p, y), [1])`.
    """
    reduction = "mean" if use.reduction is None else reader.value(use.reduction, frame)
    head = _head_for(reader, use, frame)
    called = replace(frame, head=head, classes=narrowed(reader.graph, frame.classes, head.choice))
    given = {name: _given(reader, value, frame, called) for name, value in use.parameters}
    _check_ranges(use, given)
    missing = [parameter for parameter in use.loss.parameters if parameter.name not in given]
    parameters = {parameter.name: _default(reader, parameter) for parameter in missing} | given
    _check_task(use, parameters, called.space.task)
    assert isinstance(reduction, str)
    check_entry(use, given, frame, called)
    value: Node | Chosen
    if isinstance(use.loss, Kernel):
        value = _kernel(reader, use, use.loss, parameters, reduction, called)
    else:
        value = _formula(reader, use, use.loss, parameters, reduction, called)
    node, classes = parted(value)
    check_exit(use, node, frame, called)
    written = tuple((name, number) for name in given if (number := node_of(given[name])) is not None)
    by_user, place = frame.place is None, frame.place or use.origin
    numbers = written if by_user else ()
    taken = _taken(use.loss, called.space.task, parameters)
    reader.trace.used.append(Used(use, node, reduction, called.head, place, by_user, numbers, taken))
    return marked(node, (classes or head.choice) if "class" in node.axes else None)


def _given(reader: Reader, written: Resolved, outer: Frame, called: Frame) -> Value:
    """What is written for a parameter; a list is about the classes of the head that the loss is called with."""
    if isinstance(written, PerClass):
        return reader.per_class(written, outer, called.space)
    return reader.value(written, outer)


def _taken(loss: Loss, task: str, parameters: dict[str, Value]) -> Taken | None:
    """What the prediction of a use must be; a regression has raw numbers, neither logits nor probabilities."""
    if not task_record(task).has_labels:
        return None
    return next((taken for taken in loss.documentation.taken if taken.holds(task, parameters)), None)


def _check_ranges(use: Use, given: dict[str, Value]) -> None:
    """Numbers that come from elsewhere, a name or the parameter of another definition, must be in range too."""
    known = {parameter.name: parameter for parameter in use.loss.parameters}
    for name, written in use.parameters:
        value, interval = given[name], known[name].interval
        for number in _constants(value):
            if interval and number not in interval:
                raise Fault(out_of_range(use.loss, known[name], number, written.origin))
        counts = interval is not None and interval.whole and isinstance(use.loss, Kernel)
        node = node_of(value)
        if counts and node is not None and not node.is_constant:
            message = f"`{name}` of `{use.loss.name}` must be a whole number that is the same in every call"
            raise Fault(written.origin.says("LD204", message, default_hint(known[name])))


def _constants(value: Value) -> tuple[float, ...]:
    """The numbers in the value of a parameter that are known already."""
    node = node_of(value)
    if node is None:
        return flat(value) if isinstance(value, tuple) else ()
    nodes = node.arguments[1:] if node.operation == "per_class" else (node,)
    return tuple(node.value for node in nodes if node.is_constant)


def _check_task(use: Use, parameters: dict[str, Value], task: str) -> None:
    """A parameter that decides the task must agree with the task that the call has."""
    for parameter in use.loss.parameters:
        word = parameters[parameter.name]
        if parameter.decides_task and word in TASKS and word != task:
            message = f"`{parameter.name}` of `{use.loss.name}` is {word}; the task is {task}"
            raise Fault(use.origin.says("LD301", message))


def instead(loss: Loss, task: str) -> str:
    """What to write for a loss that is not for a task."""
    return (
        dict(loss.documentation.otherwise).get(task)
        or task_record(task).instead
        or f'give the task: task="{loss.tasks[0]}"'
    )


def _told_to_the_user(fault: Fault, use: Use, loss: Formula) -> Fault:
    """A fault in the text of a definition, told where the user wrote its name."""
    found = fault.diagnostic
    if found.source is not loss.source:
        return fault
    return Fault(use.origin.says(found.code, f"in `{loss.name}`: {found.message}", found.hint))


def _default(reader: Reader, parameter: Parameter) -> Value:
    written = parameter.default
    if isinstance(written, tree.Name) and written.text in parameter.words:
        return written.text
    if parameter.lists:
        return default_list(parameter)
    number = plain_number(written) if written else None
    assert number is not None, f"default of {parameter.name}"
    return reader.graph.constant(number)


def _formula(
    reader: Reader, use: Use, loss: Formula, parameters: dict[str, Value], reduction: str, frame: Frame
) -> Node | Chosen:
    body = reader.objective.body(full_name(loss))
    task = frame.space.task
    case = body.case(task)
    if case is None:
        message = f"`{loss.name}` is for {', '.join(loss.tasks)}; the task is {task}"
        raise Fault(use.origin.says("LD301", message, instead(loss, task)))
    inner = Frame(
        frame.head,
        dict(body.bindings),
        parameters,
        is_definition=True,
        classes=frame.classes,
        place=frame.place or use.origin,
        scaled=frame.scaled,
        mapped=reduction == "none" and (frame.place is None or frame.mapped),
    )
    try:
        result = _reduced(reader, use, loss, case, reduction, inner)
    except Fault as fault:
        raise _told_to_the_user(fault, use, loss) from None
    _refuse_unused(reader, use, loss, task, inner)
    return result


def _head_for(reader: Reader, use: Use, frame: Frame) -> Head:
    """The prediction and target that a loss is called with: its own tensors, else those of the text around it."""
    if not takes_head(use.loss) or not use.tensors:
        return frame.head
    pair = pair_of(use)
    own = reader.own_head(*pair) if pair else None
    if own is not None:
        return own
    written = [*use.tensors, TensorOf("target", use.origin)][:2]
    if all(_is_raw(tensor) for tensor in written):
        return reader.raw_head(frame.space, *(_raw(reader, tensor, frame) for tensor in written))
    both = [_prepared(reader, t, name, frame) for t, name in zip(written, ("pred", "y"), strict=True)]
    met(use.origin, both, frame.space.task)
    (prediction, truth), choices = (side.node for side in both), (both[0].classes, both[1].classes)
    head = Head(frame.space, prediction, truth, frame.head.valid, prepared=True, choices=choices)
    return reader.remembered(head)


def _is_raw(tensor: Resolved) -> bool:
    return isinstance(tensor, TensorOf) and (tensor.name in ("pred", "target") or tensor.name not in TENSORS)


def _raw(reader: Reader, tensor: Resolved, frame: Frame) -> Node:
    """A tensor as the caller passed it."""
    assert isinstance(tensor, TensorOf)
    if tensor.name in ("pred", "target"):
        return frame.head.prediction if tensor.name == "pred" else frame.head.truth
    return reader.passed(tensor, frame.space)


def _prepared(reader: Reader, tensor: Resolved, role: str, frame: Frame) -> Operand:
    """The value of an expression, or a tensor of the caller made ready for its role."""
    if not _is_raw(tensor):
        return _with_axes(reader, tensor, frame)
    raw = _raw(reader, tensor, frame)
    ready = (raw, frame.head.truth) if role == "pred" else (frame.head.prediction, raw)
    return Operand(tensor.origin, Head(frame.space, *ready, frame.head.valid).of(role))


def _with_axes(reader: Reader, tensor: Resolved, frame: Frame) -> Operand:
    operand = reader.operand(tensor, frame)
    if not operand.node.axes:
        hint = "write tensors without a name, and parameters as name=value"
        raise Fault(tensor.origin.says("LD202", "expected a tensor, not a number", hint))
    return operand


def _reduced(reader: Reader, use: Use, loss: Formula, case: Resolved, reduction: str, frame: Frame) -> Node | Chosen:
    """The value of a definition's text with its outer mean kept, left out, or made a sum."""
    if reduction == "mean":
        return marked(*reader.mapped(case, frame))
    if isinstance(case, Reduction) and case.kind == "mean" and case.over is None and case.per is None:
        value, classes = without_its_mean(reader, case, frame)
        if reduction == "none":
            _refuse_a_lost_divisor(reader, use, case, frame)
            return marked(value, classes)
        return reader.reducer(frame, classes).sum(value, value.axes)
    if isinstance(case, Where):
        chosen = reader.branch(case, frame)
        if chosen is not None:
            return _reduced(reader, use, loss, chosen, reduction, frame)
    if isinstance(case, Use):
        written = Word(reduction, use.origin)
        inner = Use(case.loss, case.tensors, case.parameters, written, case.origin)
        return marked(*reader.mapped(inner, frame))
    message = f"`{loss.name}` has no map: its formula is not a mean"
    raise Fault(use.origin.says("LD302", message, f"lossdsl show {loss.name} prints its formula"))


def _refuse_a_lost_divisor(reader: Reader, use: Use, case: Reduction, frame: Frame) -> None:
    """With fewer classes ce divides by the pixels of these classes. Its map has no class axis to say so."""
    if case.divisor is None or frame.classes is None or not frame.mapped:
        return
    (of_some, _), (of_all, _) = (
        reader.mapped(case.divisor, reader.anew(frame, case.divisor, classes=classes))
        for classes in (frame.classes, None)
    )
    if of_some is not of_all:
        around, name = frame.classes.around, use.loss.name
        edit = with_its_mean(use)
        mean = edit.text if edit else name
        message = f"`{name}` divides by a count over the classes {frame.classes}, which its map does not contain"
        hint = f"{around(mean)} is the mean; use reduction=sum for its sum"
        raise Fault(use.origin.says("LD302", message, hint))


def _refuse_unused(reader: Reader, use: Use, loss: Formula, task: str, frame: Frame) -> None:
    """What was never read must be the default, as in a config that writes all arguments out, or be accepted as such."""
    accepted = dict(loss.documentation.accepted)
    known = {parameter.name: parameter for parameter in loss.parameters}
    for name, written in use.parameters:
        if name not in frame.used and name not in accepted and not _says_nothing(reader, known[name], frame):
            message = f"`{name}` of `{loss.name}` has no effect for {task}"
            raise Fault(written.origin.says("LD305", message, f"lossdsl show {loss.name} prints its formula"))


def _says_nothing(reader: Reader, parameter: Parameter, frame: Frame) -> bool:
    if parameter.decides_task or parameter.default is None:
        return parameter.decides_task
    return frame.parameters[parameter.name] == _default(reader, parameter)


def _kernel(
    reader: Reader, use: Use, kernel: Kernel, parameters: dict[str, Value], reduction: str, frame: Frame
) -> Node:
    valid = frame.head.valid
    _refuse_what_it_cannot(reader, use, kernel, reduction, frame)
    tensors = _kernel_tensors(reader, use, kernel, frame)
    parameters = {name: value.node if isinstance(value, Chosen) else value for name, value in parameters.items()}
    counts = {p.name for p in kernel.parameters if p.interval and p.interval.whole}
    whole = {name: _counted(value) for name, value in parameters.items() if name in counts}
    numbers = [(name, value) for name, value in parameters.items() if isinstance(value, Node) and name not in whole]
    words = {name: value for name, value in parameters.items() if not isinstance(value, Node)}
    settings = tuple((words | whole).items())
    _refuse_maps(use, numbers)
    provided = dict(numbers)
    if valid is not None and kernel.takes_mask:
        provided["mask"] = valid
    if kernel.takes_spatial:
        provided["spatial"] = frame.space.layout()
    arguments = (*tensors, *provided.values())
    attributes = (kernel, len(tensors), tuple(provided), settings)
    # A kernel brings no axis that none of its tensors has.
    keeps = kernel.keeps.intersection(NO_AXES.union(*(tensor.axes for tensor in tensors)))
    keeps -= {"batch"} if parameters.get("per") == "batch" else set()
    value = reader.graph.make("kernel", *arguments, attributes=attributes, axes=keeps)
    if reduction == "none" or not value.axes:
        return value
    reducer = reader.reducer(frame)
    return reducer.sum(value, value.axes) if reduction == "sum" else reducer.mean(value, value.axes)


def _counted(value: Value) -> Hashable:
    """A whole number as the integer that it is; those of a list too."""
    if isinstance(value, Node):
        return int(value.value)
    assert isinstance(value, tuple)
    return tuple(int(item) if isinstance(item, float) else _counted(item) for item in value)


def _refuse_what_it_cannot(reader: Reader, use: Use, kernel: Kernel, reduction: str, frame: Frame) -> None:
    """What a kernel does not declare is an error where it would be wanted, never ignored."""
    task = reader.context.task
    if kernel.tasks and task not in kernel.tasks:
        message = f"`{kernel.name}` is for {', '.join(kernel.tasks)}; the task is {task}"
        raise Fault(use.origin.says("LD301", message, instead(kernel, task)))
    if frame.head.valid is not None and not (kernel.takes_mask or kernel.elementwise):
        message = f"`{kernel.name}` cannot exclude elements: it takes no mask"
        raise Fault(use.origin.says("LD306", message, "use it without mask and ignore_index"))
    weighed = reader.context.weighted and not task_record(task).has_one_class
    weighed = weighed and reduction != "none" and not frame.is_definition  # there the text says what weighs
    if (weighed or frame.classes is not None) and not kernel.keeps & {"class"} and "class_weight" not in kernel.inputs:
        message = f"`{kernel.name}` cannot weight or select classes: its result has no class axis"
        raise Fault(use.origin.says("LD306", message, "use it without class_weight and outside of for_class"))
    if reduction != "mean" and not kernel.keeps:
        message = f"`{kernel.name}` has no map: it returns one number"
        raise Fault(use.origin.says("LD302", message, f"write {kernel.name} without reduction"))


def _refuse_maps(use: Use, numbers: list[tuple[str, Node]]) -> None:
    """The numbers that a kernel takes are numbers: it would not know the axes of a map."""
    for name, node in numbers:
        if node.axes:
            message = f"`{name}` of `{use.loss.name}` must be a scalar; this has {the_axes(node.axes)}"
            raise Fault(dict(use.parameters)[name].origin.says("LD303", message))


def _kernel_tensors(reader: Reader, use: Use, kernel: Kernel, frame: Frame) -> list[Node]:
    """What is written, then what the call provides under the names of the kernel's own arguments."""
    if use.tensors and takes_head(kernel):
        return [reader.of_head(TensorOf(name, use.origin), frame)[0] for name in kernel.inputs]
    operands = [_with_axes(reader, tensor, frame) for tensor in use.tensors]
    for name in kernel.inputs[len(operands) :]:
        if name not in HEAD_TENSORS:
            wanted = ", ".join(kernel.inputs)
            raise Fault(use.origin.says("LD202", f"`{kernel.name}` needs {wanted}", f"write {kernel.name}({wanted})"))
        operands.append(Operand(use.origin, *parted(reader.tensor(TensorOf(name, use.origin), frame))))
    choice = met(use.origin, operands, frame.space.task)
    if choice and not (frame.classes and frame.classes.numbers <= choice.numbers):
        message = f"`{kernel.name}` uses all classes, but only the classes {choice} of its input count"
        raise Fault(use.origin.says("LD306", message, f"write {choice.around(f'{kernel.name}(...)')}"))
    return [operand.node for operand in operands]
