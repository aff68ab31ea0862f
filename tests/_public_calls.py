"""A valid call of everything public, and what kind each argument is of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _bad_values import EYE, KINDS

import gsdyn as gs
from gsdyn import closed_forms as forms
from gsdyn import data, kernels, modes, networks, probes, special, sweeps, training
from gsdyn.sweeps import quantities


class Call(NamedTuple):
    """A valid call: a function, its arguments by name, and the kinds of those that have one."""

    name: str
    function: Callable[..., Any]
    arguments: dict[str, Any]
    kinds: dict[str, str]

    def bad(self) -> Iterator[tuple[str, str, Any]]:
        """The arguments, and what none of them may be."""
        for argument, kind in self.kinds.items():
            for what, value in KINDS[kind].items():
                yield argument, what, value

    def __call__(self, **other: Any) -> Any:
        return self.function(**{**self.arguments, **other})


def call(name: str, function: Callable[..., Any], /, **arguments: tuple[Any, str] | Any) -> Call:
    """A call whose arguments are pairs of a value and a kind, or values alone where the kind has no bad ones."""
    pairs = {key: value if isinstance(value, tuple) else (value, "") for key, value in arguments.items()}
    kinds = {key: kind for key, (_, kind) in pairs.items() if kind}
    return Call(name, function, {key: value for key, (value, _) in pairs.items()}, kinds)


def _fixed_point(basis: gs.FeatureBasis) -> gs.FixedPoint:
    """What a solve would give, without one."""
    z = jnp.zeros(2)
    return gs.FixedPoint(z, z, z, z[0], z[0], z[0], z[0], z[0], gs.CrossEntropy(), gs.WeightDecay(1.0))


def _core() -> Iterator[Call]:
    basis = gs.FeatureBasis(EYE, [3.0, 2.0])
    loss, decay = (gs.CrossEntropy(), "thing"), (gs.WeightDecay(1.0), "thing")
    based, fp = (basis, "thing"), (_fixed_point(basis), "thing")
    theta, signed, some = (EYE, "kernel"), ([1.0, -1.0], "labels or none"), (None, "count or none")
    accuracy = (None, "inaccuracy or none")
    yield call("FeatureBasis", gs.FeatureBasis, U=(EYE, "matrix"), s=([3.0, 2.0], "two"))
    yield call(
        "FeatureBasis.rotation",
        gs.FeatureBasis.rotation,
        s1=(3.0, "one nonnegative"),
        s2=(2.0, "one nonnegative"),
        delta=(0.1, "overlap"),
    )
    yield call(
        "FeatureBasis.from_kernel", gs.FeatureBasis.from_kernel, theta=theta, y=signed, rank=some, tolerance=accuracy
    )
    yield call(
        "FeatureBasis.from_product",
        gs.FeatureBasis.from_product,
        product=(lambda v: v, "callable"),
        y=(None, "labels or none"),
        rank=(1, "count"),
        examples=(20, "count"),
    )
    yield call("FeatureBasis.from_ntrf", gs.FeatureBasis.from_ntrf, phi=(EYE, "matrix"), y=signed, rank=some)
    yield call("WeightDecay", gs.WeightDecay, lam=(1.0, "one positive"))
    yield call("SpectralDecoupling", gs.SpectralDecoupling, lam=(1.0, "positive"), gamma=(1.0, "finite but none"))
    pair = "two"
    yield call(
        "SpectralDecoupling.by_class",
        gs.SpectralDecoupling.by_class,
        y=([1, -1], "signs"),
        lam=((1.0, 2.0), pair),
        gamma=((0.0, 1.0), pair),
    )
    yield call("Mixed", gs.Mixed, lam1=(1.0, "one nonnegative"), lam2=(1.0, "one nonnegative"))
    yield call("Softmax", gs.Softmax, labels=([0, 1], "classes"), classes=(3, "count"))
    yield call("Phase", gs.Phase, duration=(1.0, "one nonnegative but inf"), penalty=decay)
    yield call("fixed_point", gs.fixed_point, basis=based, loss=loss, penalty=decay, max_iterations=(200, "count"))
    for name in ("starvation_matrix", "starvation_error", "elasticity", "coefficients"):
        yield call(name, getattr(gs, name), basis=based, fp=fp)
    yield call("starves", gs.starves, matrix=(EYE, "square"), error=(0.0, "error"))
    yield call("sign_law", gs.sign_law, s1=(2.0, "nonnegative"), s2=(1.0, "nonnegative"), delta=(0.1, "overlap"))
    yield call(
        "truncation_bound", gs.truncation_bound, basis=based, fp=fp, theta=theta, y=signed, newton=(4, "natural")
    )
    yield call(
        "PrimalFlow",
        gs.PrimalFlow,
        basis=based,
        loss=loss,
        penalty=decay,
        eta=(1.0, "one positive"),
        z0=([0.1, 0.2], "two or none"),
    )
    yield call(
        "DualFlow",
        gs.DualFlow,
        basis=based,
        loss=loss,
        penalty=decay,
        eta=(1.0, "one positive"),
        alpha0=([0.1, 0.2], "two or none"),
    )
    yield call(
        "KernelFlow", gs.KernelFlow, theta=theta, y=signed, loss=loss, phases=decay, start=([0.1, 0.2], "two or none")
    )
    tolerances = {"rtol": (None, "tolerance or none"), "atol": (None, "tolerance or none")}
    limit = {"max_steps": (10, "count")}
    flow = gs.PrimalFlow(basis, gs.CrossEntropy(), gs.WeightDecay(1.0))
    ts = {"ts": ([1.0, 2.0], "rising")}
    other = {"solver": (None, "thing or none"), "adjoint": (None, "thing or none"), "dense": (False, "flag")}
    yield call("integrate", gs.integrate, flow=(flow, "thing"), **ts, **tolerances, **limit, **other)
    many = gs.KernelFlow(EYE, [1, -1], gs.CrossEntropy(), gs.WeightDecay(1.0))
    yield call("integrate a KernelFlow", gs.integrate, flow=(many, "thing"), **ts, **tolerances, **limit, **other)
    yield call(
        "steady_state", gs.steady_state, flow=(flow, "thing"), **tolerances, **limit, adjoint=(None, "thing or none")
    )
    after = {"after": (None, "thing or none")}
    yield call(
        "starvation_over_time", gs.starvation_over_time, flow=(flow, "thing"), **ts, **tolerances, **limit, **after
    )
    kernel = {"theta": theta, "y": signed, "loss": loss, "rtol": (1e-8, "tolerance"), "tolerance": accuracy}
    iterations = {"max_iterations": (100, "count")}
    yield call(
        "kernel_fixed_point",
        gs.kernel_fixed_point,
        **kernel,
        **iterations,
        penalty=decay,
        start=([0.1, 0.2], "two or none"),
    )
    yield call("kernel_path", gs.kernel_path, **kernel, **iterations, penalties=([1.0, 0.1], "positive"))
    yield call("kernel_path(lams)", gs.kernel_path, **kernel, **iterations, lams=([1.0, 0.1], "positive"))
    yield call("hard_margin", gs.hard_margin, theta=theta, y=signed)
    yield call("predict", gs.predict, theta_new=(EYE, "matrix"), y=signed, beta=([1.0, 2.0], "many by two"))
    yield call("feature_functions", gs.feature_functions, basis=based, theta_new=(EYE, "matrix"), y=signed)
    yield call(
        "group_metrics",
        gs.group_metrics,
        margins=([1.0, -1.0], "many by two"),
        groups=([0, 1], "groups"),
        confidence=(0.95, "tolerance"),
    )
    yield call(
        "margin_gap",
        gs.margin_gap,
        weights=(EYE, "matrix"),
        z=([1.0, 2.0], "many by two"),
        aligned=([True, False], "mask"),
    )
    yield call("enable_cache", gs.enable_cache, path=(None, "path or none"))


def _forms() -> Iterator[Call]:
    basis = gs.FeatureBasis(EYE, [3.0, 2.0])
    exact, lam = (True, "flag"), (1.0, "positive")
    yield call("equal_strengths", forms.equal_strengths, s=(1.0, "nonnegative"), lam=lam, exact=exact)
    yield call("equal_strengths of U", forms.equal_strengths, s=1.0, lam=1.0, U=(EYE, "square or none"), exact=exact)
    yield call("permutation", forms.permutation, s=(1.0, "nonnegative"), lam=lam, exact=exact)
    yield call("perturbed", forms.perturbed, basis=(basis, "thing"), lam=(1.0, "one positive"), exact=exact)
    strengths = {"s1": (2.0, "nonnegative"), "s2": (1.0, "nonnegative"), "delta": (0.1, "overlap")}
    yield call("small_overlap_starvation", forms.small_overlap_starvation, **strengths, lam=lam, exact=exact)
    x = (1.0, "real")
    yield call("lambertw", special.lambertw, c=x)
    yield call("r_lambertw", special.r_lambertw, c=x)
    yield call("inverse_log_ei", special.inverse_log_ei, x=x)
    yield call("log_plus_ei", special.log_plus_ei, u=x)
    yield call("wright_omega", special.wright_omega, x=x)
    yield call("r_wright_omega", special.r_wright_omega, x=x)
    a = (-0.5, "real")
    yield call("depth_primitive", special.depth_primitive, u=x, a=a)
    yield call("time_integral", special.time_integral, u0=x, u=x, a=a)
    yield call("inverse_time_integral", special.inverse_time_integral, u0=x, time=x, a=a)


def _modes() -> Iterator[Call]:
    norm, rate, t = (1.0, "positive"), (1.0, "positive"), (1.0, "times")
    loss, start = (None, "thing or none"), {"y0": (0.5, "finite"), "z0": (0.5, "finite")}
    sure = (0.9, "confidence")
    yield call("Mode(u0)", modes.Mode, norm=norm, depth=(3, "depth"), rate=rate, loss=loss, u0=(0.1, "positive"))
    yield call(
        "Mode(y0, z0)",
        modes.Mode,
        norm=norm,
        rate=rate,
        loss=loss,
        y0=(0.1, "finite but none"),
        z0=(0.1, "finite but none"),
    )
    yield call("Mode.decaying", modes.Mode.decaying, norm=norm, rate=rate, loss=loss, u0=(-0.1, "negative"))
    mode = modes.Mode(1.0, u0=0.1)
    for name, argument in (("logit", t), ("weights", t), ("confidence", t), ("log_bound", t)):
        yield call(f"Mode.{name}", getattr(mode, name), t=argument)
    yield call("Mode.time_to", mode.time_to, u=(1.0, "finite"))
    yield call("Mode.time_to_confidence", mode.time_to_confidence, confidence=sure)
    yield call(
        "Neurons", modes.Neurons, norm=norm, y0=([0.1, 0.2], "finite"), z0=([0.1, 0.2], "finite"), rate=rate, loss=loss
    )
    neurons = modes.Neurons(1.0, [0.1, 0.2], [0.1, 0.2])
    for name in ("logit", "weights", "confidence"):
        yield call(f"Neurons.{name}", getattr(neurons, name), t=t)
    yield call("Neurons.time_to", neurons.time_to, u=(1.0, "finite"))
    yield call("Neurons.time_to_confidence", neurons.time_to_confidence, confidence=sure)
    yield call(
        "orthogonal_points", modes.orthogonal_points, norm=norm, count=(2, "positive"), **start, rate=rate, loss=loss
    )
    yield call("classify", modes.classify, norm=norm, **start)
    v0 = (0.0, "finite")
    yield call("MultiClassMode", modes.MultiClassMode, norm=norm, classes=(3, "depth"), **start, v0=v0, rate=rate)
    several = modes.MultiClassMode(1.0, 3, 0.5, 0.5)
    for name in ("margin", "confidence", "weights"):
        yield call(f"MultiClassMode.{name}", getattr(several, name), t=t)
    yield call("MultiClassMode.time_to", several.time_to, margin=(1.0, "finite"))
    yield call("MultiClassMode.time_to_confidence", several.time_to_confidence, confidence=(0.9, "confidence of many"))
    both = {"fraction": (0.3, "share"), "norms": ([1.0, 2.0], "pair of positive")}
    yield call(
        "TwoClasses", modes.TwoClasses, **both, depth=(2, "depth"), loss=loss, u0=([0.1, 0.2], "pair of positive")
    )
    two = modes.TwoClasses(0.3, [1.0, 2.0], u0=[0.1, 0.2])
    for name in ("logits", "confidences"):
        yield call(f"TwoClasses.{name}", getattr(two, name), t=t)
    for name in ("times_to_confidence", "time_ratio"):
        yield call(f"TwoClasses.{name}", getattr(two, name), confidence=sure)
    yield call("Competition", modes.Competition, a0=(0.5, "positive"), b0=(0.5, "positive"), z0=v0, rate=rate)
    race, ts = modes.Competition(1.0, 0.5, 0.5), ([1.0, 2.0], "any times")
    yield call("Competition.integrate", race.integrate, ts=ts)
    yield call("Competition.time_to_confidence", race.time_to_confidence, confidence=sure)
    yield call("Competition.delay", race.delay, confidence=sure)
    three = (np.eye(2) + 1, "matrix")
    yield call(
        "HingePoints", modes.HingePoints, points=three, w0=([0.1, 0.2], "two"), z0=(0.5, "one finite"), rate=rate
    )
    points = modes.HingePoints(np.eye(2) + 1, [0.1, 0.2], 0.5)
    for name in ("weights", "margins"):
        yield call(f"HingePoints.{name}", getattr(points, name), t=t)
    for name in ("logit", "free_logit"):
        yield call(f"HingePoints.{name}", getattr(points, name), x=([1.0, 0.0], "two or rows"), t=t)
    share, eps = (0.01, "share"), (0.1, "share")
    yield call("RareFeature", modes.RareFeature, fraction=share, a0=(0.5, "positive"), b0=v0, z0=(0.5, "nonnegative"))
    rare = modes.RareFeature(0.01, 0.5, 0.5, 0.5)
    yield call("RareFeature.integrate", rare.integrate, ts=ts)
    for name in ("stop", "bound", "relaxed_bound", "looseness"):
        yield call(f"RareFeature.{name}", getattr(rare, name), eps=eps)
    yield call("RareFeature.relaxed_bound(z_stop)", rare.relaxed_bound, eps=0.1, z_stop=(1.0, "finite but none"))
    yield call("rare_feature_bound", modes.rare_feature_bound, fraction=share, eps=eps)


def _networks() -> Iterator[Call]:
    net, key = networks.FullyConnected(depth=2, width=4), jax.random.key(0)
    params = net.init(key, 2)
    scale = (1.0, "one number")
    yield call(
        "FullyConnected",
        networks.FullyConnected,
        depth=(3, "count"),
        width=(512, "count"),
        activation=(networks.Relu(), "thing"),
        w_std=(1.0, "one positive or none"),
        b_std=(0.0, "one nonnegative"),
        outputs=(None, "count or none"),
    )
    yield call("FullyConnected.init", net.init, key=(key, "key"), features=(2, "count"), dtype=(float, "dtype"))
    yield call("FullyConnected.apply", net.apply, params=(params, "thing"), x=(EYE, "matrix but infinite"))
    yield call("LeakyRelu", networks.LeakyRelu, alpha=scale)
    yield call("Sin", networks.Sin, frequency=scale)
    yield call("Cos", networks.Cos, frequency=scale)
    yield call("Monomial", networks.Monomial, degree=(2, "count"))
    yield call(
        "Stax",
        networks.Stax,
        layers=((lambda key, shape: (shape, ()), lambda p, x: x, lambda k: k), "thing"),
        name=("net", "text"),
    )
    tile, stored = (None, "count or none"), (None, "path or none")
    told = {"progress": (lambda stage, done, total: None, "callable")}
    inputs = {"x1": (EYE, "matrix"), "x2": (EYE, "matrix or none")}
    yield call("infinite_ntk", kernels.infinite_ntk, net=(net, "thing"), **inputs, tile=tile, out=stored, **told)
    yield call(
        "sharded_ntk",
        kernels.sharded_ntk,
        net=(net, "thing"),
        **inputs,
        devices=(None, "thing or none"),
        tile=(512, "count"),
    )
    finite = {"net": (net, "network"), "params": (params, "thing")}
    x = (EYE, "examples")
    yield call("ntrf", kernels.ntrf, **finite, x=x, batch=tile, **told)
    yield call("ntk_product", kernels.ntk_product, **finite, x=x)
    yield call(
        "empirical_ntk",
        kernels.empirical_ntk,
        **finite,
        x1=x,
        x2=(EYE, "examples or none"),
        trace=(False, "flag"),
        method=(None, "thing or none"),
        tile=tile,
        out=stored,
        **told,
    )
    yield call("kernels.load", kernels.load, path=("nowhere.zarr", "path"))
    yield call(
        "kernels.save", kernels.save, path=("some.zarr", "path"), value=(EYE, "finite"), made=(None, "mapping or none")
    )


def _data() -> Iterator[Call]:
    few = {"noise": (0.25, "probability"), "seed": (0, "natural")}
    yield call(
        "moons",
        data.moons,
        n=(20, "count"),
        margin=(0.1, "one finite"),
        noise=(0.1, "one nonnegative"),
        seed=(0, "natural"),
        rotation=(0.0, "one finite"),
    )
    yield call(
        "coloured", data.coloured, images=(EYE, "matrix"), y=([1, -1], "labels"), agreement=(0.9, "shares"), **few
    )
    yield call(
        "colour_digits",
        data.colour_digits,
        train=(20, "count"),
        test=(10, "count"),
        source=(data.digits(), "thing or none"),
        agreement=(0.9, "shares"),
        test_agreement=(0.1, "probability"),
        **few,
    )
    yield call("mnist_sample", data.mnist_sample, pixels=(14, "count"))


def _probes() -> Iterator[Call]:
    apply = (lambda params, x: x @ params, "callable")
    task = {"apply": apply, "params": jnp.ones(2), "x": (EYE, "rows"), "y": ([1, -1], "labels")}
    yield call("PGD", probes.PGD, steps=(40, "count"), restarts=(12, "count"))
    yield call("Search", probes.Search, steps=(40, "count"), tries=(12, "count"))
    yield call(
        "adversarial_margin",
        probes.adversarial_margin,
        **task,
        key=(jax.random.key(0), "key"),
        norm=(None, "thing or none"),
        attacks=(None, "thing or none"),
        reach=(4.0, "one positive"),
        bounds=(None, "pair or none"),
    )
    yield call(
        "input_margin",
        probes.input_margin,
        **task,
        directions=(EYE, "matrix or none"),
        reach=(4.0, "one positive"),
        shells=(100, "count"),
    )
    yield call(
        "colour_variants",
        probes.colour_variants,
        images=(EYE, "rows"),
        colour=([0, 1], "classes"),
        blank=(0.1, "brightness"),
    )
    variants = probes.ColourVariants(*[EYE] * 4)
    yield call(
        "colour_probe",
        probes.colour_probe,
        apply=apply,
        params=jnp.ones(2),
        variants=(variants, "thing"),
        y=([1, -1], "labels"),
    )
    yield call(
        "group_accuracy",
        probes.group_accuracy,
        outputs=([1.0, -1.0], "two or rows"),
        y=([1, -1], "labels"),
        attribute=([0, 1], "attribute"),
        confidence=(0.95, "tolerance"),
        shares=(None, "mapping or none"),
    )
    yield call("prediction_entropy", probes.prediction_entropy, outputs=([1.0, -1.0], "outputs"))
    yield call("wilson", probes.wilson, right=(1, "natural"), count=(2, "count"), confidence=(0.95, "tolerance"))


def _sweeps() -> Iterator[Call]:
    axes = {"lam": [1.0, 2.0]}
    grid = (axes, "axes")
    yield call(
        "sweep",
        gs.sweep,
        fn=(lambda lam: lam, "callable"),
        grid=grid,
        out=(None, "path or none"),
        extend=(False, "flag"),
        devices=(None, "count of devices"),
        client=(None, "thing or none"),
        budget=(2**30, "count"),
        chunk=(None, "count or none"),
        lanes=(None, "count or none"),
        labels=(None, "mapping or none"),
        coords=(None, "mapping or none"),
        settings=(None, "mapping or none"),
        progress=(lambda stage, done, total: None, "callable"),
    )

    def used(kind: Callable[..., Any]) -> Callable[..., Any]:
        return lambda **arguments: kind(**arguments).dimensions()

    yield call("Product", used(sweeps.Product), axes=grid)
    yield call("Zipped", used(sweeps.Zipped), axes=grid, name=("cell", "text"))
    drawn = {"lam": sweeps.Uniform(0.0, 1.0)}
    yield call(
        "Samples",
        used(sweeps.Samples),
        count=(3, "count"),
        axes=(drawn, "axes"),
        seed=(0, "natural"),
        name=("sample", "text"),
    )
    ends = {"low": (1.0, "one finite"), "high": (2.0, "one finite")}
    yield call("Uniform", sweeps.Uniform, **ends)
    yield call("LogUniform", sweeps.LogUniform, low=(1.0, "one positive"), high=(2.0, "one positive"))
    yield call("Integers", sweeps.Integers, low=(1, "integer"), high=(2, "integer"))
    yield call("Normal", sweeps.Normal, mean=(0.0, "one finite"), deviation=(1.0, "one positive"))
    yield call("Label", sweeps.Label, name=("lam", "words"), units=("1", "text or none"), dims=(("a",), "names"))
    yield call("open_store", sweeps.open_store, path=("nowhere.zarr", "path"))
    loss = (gs.CrossEntropy(), "thing")
    make = {"loss": loss, "penalty": (gs.WeightDecay, "callable")}
    yield call("quantities.optima", quantities.optima, **make)
    yield call("quantities.starvation", quantities.starvation, **make)
    yield call("quantities.trajectories", quantities.trajectories, **make, times=([1.0, 2.0], "rising"))
    yield call("quantities.mode_times", quantities.mode_times, loss=loss)


def _training() -> Iterator[Call]:
    apply = (lambda params, x: x @ params, "callable")
    binary = training.BinaryObjective(apply[0])
    yield call(
        "BinaryObjective", training.BinaryObjective, apply=apply, loss=(gs.CrossEntropy(), "thing"), mean=(True, "flag")
    )
    yield call("SoftmaxObjective", training.SoftmaxObjective, apply=apply, mean=(True, "flag"))
    inner = (binary, "thing")
    yield call("Decoupled", training.Decoupled, objective=inner, coefficient=(0.1, "one nonnegative"))
    yield call(
        "DecoupledByClass",
        training.DecoupledByClass,
        objective=inner,
        coefficient=(0.1, "nonnegative"),
        target=(0.0, "finite"),
        on_logits=(False, "flag"),
    )
    several = {"weight": (1.0, "one nonnegative"), "environments": (2, "count"), "l2": (0.0, "one nonnegative")}
    for kind in (training.IRM, training.VREx):
        yield call(kind.__name__, kind, objective=inner, **several, rescale=(True, "flag"))
    yield call(
        "GroupDRO",
        training.GroupDRO,
        objective=inner,
        groups=(2, "count"),
        rate=(0.01, "one nonnegative"),
        adjustment=(0.0, "one nonnegative"),
    )
    yield call(
        "LfF", training.LfF, objective=inner, power=(0.7, "positive"), decay=(0.7, "overlap"), classes=(2, "count")
    )
    for name, argument in (("MarginDamp", "temperature"), ("MarginLog", "lam"), ("MarginStitch", "turn")):
        kind = {"MarginDamp": "one positive", "MarginLog": "one nonnegative", "MarginStitch": "one finite"}[name]
        yield call(name, getattr(training, name), **{argument: (1.0, kind)})
    yield call("ERM", training.ERM, objective=(binary, "callable"))
    yield call("Scaled", training.Scaled, objective=(binary, "callable"), factor=(2.0, "one finite"))
    yield call(
        "Switched",
        training.Switched,
        first=(binary, "callable"),
        second=(binary, "callable"),
        step=(3, "natural"),
        fresh=(False, "flag"),
    )
    yield call("Penalised", training.Penalised, objective=inner, penalty=(gs.WeightDecay(1.0), "thing"))
    responses = {"U": (EYE, "matrix"), "x": (EYE, "examples"), "y": ([1, -1], "labels"), "origin": (np.zeros(2), "two")}
    yield call("Responses", training.Responses, objective=inner, **responses)
    yield call("Shuffled", training.Shuffled, size=(1, "count"))
    yield call("Drawn", training.Drawn, size=(1, "count"))
    yield call("Keyed", training.Keyed, inner=(training.FullBatch(), "thing"))
    yield call("Checkpoint", training.Checkpoint, path=(Path("nowhere"), "path"), every=(10, "count"))
    yield call("stacked", training.stacked, runs=([jnp.ones(2)], "runs"))
    run = {
        "params": (jnp.ones(2), "params"),
        "objective": (binary, "callable"),
        "data": ((EYE, np.array([1.0, -1.0])), "data"),
    }
    none = (None, "thing or none")
    yield call(
        "train",
        training.train,
        **run,
        optimizer=(optax.sgd(0.1), "thing"),
        steps=([0, 1], "steps"),
        observe=(lambda params: params, "callable"),
        watch=none,
        batches=none,
        key=(None, "key or none"),
        many=(False, "flag"),
        checkpoint=none,
        progress=(None, "callable or none"),
    )
    yield call(
        "gradient_flow",
        training.gradient_flow,
        **run,
        ts=([1.0, 2.0], "rising"),
        observe=(lambda params: params, "callable"),
        tolerance=(1e-4, "tolerance"),
        max_steps=(100, "count"),
        method=("tsit5", "text"),
    )


def calls() -> list[Call]:
    """All of them."""
    parts = (_core, _forms, _modes, _networks, _data, _probes, _sweeps, _training)
    return [one for part in parts for one in part()]
