"""The starvation report as an object: a labelled Dataset, a verdict, and the files they are kept in.

THE SCHEMA of `report.dataset`, an `xarray.Dataset`; every variable has the attributes `description` and `units` ("1"
for none; "time" is gradient descent's step times the number of steps). What was not asked for or cannot be known is
NaN; a dimension without entries has length 0. *attribute* means a column the user named, *group* a set of examples.

Dimensions and coordinates

    feature       1..k, strongest first                     cause     the same numbers, as what starves
    attribute     names                                     split     "train", "held-out", "test" (where given)
    time          saved times of plain training             decay     weight decays, ascending
    switch        when spectral decoupling sets in          decoupling  its strengths, ascending
    after         times since the switch                    removed   features taken out in the counterfactual
    carrier       0.. (rank)                                input     0..p-1 (absent without x)
    strategy      "plain", "stopped", "decay", "switch"     group     0..g-1, with the coordinates
        group_name       "colour = 1, y = 0"; "all"; "colour: aligned"; "colour: conflicting"
        group_kind       "all", "cell", "aligned", "conflicting"
        group_attribute  name of the attribute ("" for "all");  group_label, group_value   words, "" where it has none
    input_name (input)   names of columns, or "pixel i"

"train" is the solution of all training examples on themselves, "test" the same at the test set, "held-out" that of
the other training examples at those left out, whose kernel is scaled so that strengths, times and decays mean the same.

Features (feature, ...)
    strength              s_j                               strength_share        s_j^2 / trace K
    eigen_residual        |K u - s^2 u| / s^2               repeated              shares its strength with another: bool
    half_time             when plain training has half of its response at the last time (NaN: none)
    large                 whether its response at the last time is 2% of the largest or more: bool
    mean_margin_share     z_j mean(U_j) / mean f at the plain stop (features and the rest sum to 1)
    carrier_example (feature, carrier)  int, row of the training data;  carrier_weight   U_ij;  carrier_label  words
    direction (feature, input)   mean change of the input for one standard deviation of the feature, in units of x
    input_std (input)            so that direction/input_std is a correlation

Responses z_j, with what is left of the margins beyond the k features as `*_rest` (a norm)
    response_time (time, feature)                           response_time_rest (time)
    response_decay (decay, feature), response_decay_error   optimum under weight decay, and its certified error
    response_decoupling (decoupling, feature), response_decoupling_error    optimum of spectral decoupling
    response_switch (switch, decoupling, after, feature)

Ties (feature, attribute)
    tie, tie_low, tie_high    R^2 of the feature function on the attribute, 95% interval
    tie_given_label           R^2 beyond what the label explains
    tie_given_others          R^2 beyond what the label and the other attributes explain
    tie_p, tie_p_corrected    of tie_given_label = 0; corrected (Holm) for all features and attributes
    tied                      tie_p_corrected < level: bool
    attribute_agreement (attribute)   share of training examples aligned;  attribute_reading  how it was read, words
    attribute_feature (attribute)     number of the feature told for it: of those tied the one that carries most of the
        gap, else the one that is nearest to a tie beyond the label
    attribute_verdict (attribute)     "shortcut", "no shortcut" or "undecided";  attribute_split  where it is judged

Starvation (..., feature, cause): G[j, i] = d z_j / d(s_i^2), exact in the whole kernel at the optimum
    starvation_decay, starvation_decay_error, elasticity_decay, starves_decay   (decay, feature, cause); the last bool,
        true only where the sign is certain
    starvation_P, starvation_P_error, elasticity_P, starves_P   (*dims of P, feature, cause) over plain training (P =
        time) and since spectral decoupling set in (P = switch), in the model of the few leading features alone (NaN
        for the others);  few_error_P (*dims of P): how far its margins are from those of all features, relative;
        starves_P is True only while that is at most 0.1;  dims of P: see Groups

Counterfactual: solved again without a feature
    response_without (removed, time, feature)               half_time_without (removed, feature)
    response_gain (removed, feature)   response without it over response with it, at the plain stop
    accuracy_without (removed, split, group, time)          NaN for "held-out"

Groups: count (split, group), and for each of the paths P = time, decay, switch:
    accuracy_P, accuracy_P_low, accuracy_P_high, margin_P   (split, group, *dims of P): 95% by Wilson, mean margin
    dims of P: (time), (decay), (switch, decoupling, after)
    gap_P (split, attribute, *dims of P)   mean margin of aligned less that of conflicting examples
    gap_rest_P                             what the features beyond k carry of it (NaN for "held-out")
    kappa (split, attribute, feature)      gap_P = sum_j kappa_j z_j + gap_rest_P, exactly
    gap_share (attribute, feature)         kappa_j z_j / gap at the plain stop, on the deciding split

Choices (attribute, strategy), by the worst (label, attribute) cell on `attrs["select"]` ("held-out" or "test"), of
those with `attrs["rare"]` examples or more:
    choice_time, choice_decay, choice_switch, choice_decoupling, choice_after   NaN where the strategy has none
    choice_worst (attribute, strategy, split), choice_average                   worst cell and average accuracy there
    "plain": all examples' best average on held-out data; "stopped": the best time of plain training

Measured of the network itself, where `gs.diagnosis.measured` was asked, in dimensions of its own
    lazy_time: times of a short training; lazy_network: "real", "linearised"
    lazy_kernel_change (lazy_time)      |K_t - K_0| / |K_0|, Frobenius, K_t the kernel of the network at time t
    lazy_kernel_alignment (lazy_time)   <K_t, K_0> / (|K_t| |K_0|)
    lazy_outputs_apart (lazy_time)      |f - f_lin| / |f_lin|, both counted from their start
    lazy_decisions_apart (lazy_time)    share of examples that the two put into different classes
    lazy_accuracy (lazy_network, lazy_time)
    lazy_until                          the last time up to which outputs are within `lazy_level` of each other
    lazy_start_apart                    |K_0 - Theta| / |Theta|, Theta the kernel at infinite width; NaN where unknown
    trained_setting: "plain", "suggested";  trained_record: number of the saved time;  trained_seed: of the start
    trained_scale: factor of the outputs (1: as it is);  trained_split: "train", "test" (where given)
    trained_time, trained_since (trained_setting, trained_record)   since the start, and since the last phase began
    trained_words (trained_setting)     the setting, in words
    trained_accuracy (trained_setting, trained_seed, trained_scale, trained_split, group, trained_record)
    trained_predicted (trained_setting, trained_split, group, trained_record)   by the report's kernel
    trained_start (trained_setting, trained_seed, trained_split, group, trained_record)   by the start's own kernel
    trained_apart (trained_setting, trained_scale, trained_split, group)    the largest distance over time of the mean
        over seeds from trained_predicted;  trained_start_apart: from the mean of trained_start

All of several classes together, where the largest of an example's outputs decides (margin: the own class's output less
the largest of the others; aligned: the attribute goes with the own class), in splits that all classes have
    all_count, all_accuracy_P, all_margin_P, all_gap_P   as above, with the dimension all_group, named as group is
    all_choice_...                                       as above, by the worst cell of class and value

Several classes: every other variable has the dimension `class` too, and what classes differ in is NaN or 0 where one
has none of it (a split, a feature removed); attributes that differ are in the attribute `classes` (JSON).
`Report.of(name)` is the report of one class against the rest, in the schema above. What was measured is of
`measured_class` alone.

Trust
    duality_gap (decay)     relative, certified;  alpha_error (decay)  bound of |alpha - alpha*|
    flow_reached (path)     whether every saved time of a flow was reached, bool; path: names of the flows

Attributes: title, n, n_given, n_held_out, n_test, features, seed, select, level, rare (examples below which a group
decides nothing), holds (few_error_P up to which starves_P is told), positive, negative (label words), labels (how they
were read), input_shape (JSON list), kernel (words), plain_time, rtol, memory (bytes announced), subsample (words or
""), notes (JSON list of words), plus `gsdyn_version`, `settings` and their like; `verdict`: the verdict as JSON; of
several classes together all_plain_time, all_select, all_told (words).
"""

from __future__ import annotations

import dataclasses
import html
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gsdyn import _files
from gsdyn._outputs import Outputs

if TYPE_CHECKING:
    import xarray as xr

Kind = Literal["shortcut", "no shortcut", "undecided"]
SUFFIXES = (".html", ".json", ".zarr")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the report says first.

    - `kind`: "shortcut", "no shortcut" or "undecided".
    - `sentences`: the same in words with numbers, the most important first.
    - `shortcuts`: one record for each shortcut: `attribute`, `feature` (of those tied the one that carries most of the
      gap), `features` (all tied), `r2`, `r2_low`, `r2_high`, `p_corrected`, `gap`, `gap_share` (of all tied),
      `gap_share_feature`, `split`, `accuracy_aligned`, `accuracy_conflicting` and their intervals `..._low`,
      `..._high`, `count_aligned`, `count_conflicting`.
    - `attributes`: one record for each attribute, with `verdict`, its `reason`, and the same numbers.

        >>> verdict = gs.diagnosis.Verdict("undecided", ("Too few examples to say.",))
        >>> print(verdict)
        Too few examples to say.
    """

    kind: Kind
    sentences: tuple[str, ...]
    shortcuts: tuple[dict[str, Any], ...] = ()
    attributes: tuple[dict[str, Any], ...] = ()

    def __str__(self) -> str:
        return " ".join(self.sentences)

    def as_dict(self) -> dict[str, Any]:
        """What JSON holds of it."""
        return {**dataclasses.asdict(self), "sentences": list(self.sentences)}

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> Verdict:
        """A verdict from what `as_dict` gave."""
        lists = (tuple(given[name]) for name in ("sentences", "shortcuts", "attributes"))
        return cls(given["kind"], *lists)


@dataclasses.dataclass(frozen=True)
class Report:
    """The starvation report that `gs.diagnose` makes.

    - `dataset`: everything that was computed, labelled (see the module's docstring for what is in it).
    - `verdict`: what it comes to.

    Example: `report = gs.diagnose(x, y, attributes={"colour": colour}); print(report); report.save("report.zarr")`.

        >>> random = np.random.default_rng(0)
        >>> labels = random.choice([0, 1], 80)
        >>> site = np.where(random.random(80) < 0.9, labels, 1 - labels)
        >>> rows = np.stack([4.0 * site - 2, labels + random.normal(size=80)], axis=1)
        >>> report = gs.diagnose(rows, labels, attributes={"site": site}, features=3, progress=False)
        >>> print(report.verdict.kind, report.dataset["strength"].values)
        shortcut [26.001 18.982 11.141]
    """

    dataset: xr.Dataset
    verdict: Verdict

    def save(self, path: str | Path) -> Path:
        """Write the report: `.html`, one page that opens anywhere, `.json`, or `.zarr`, which `Report.load` reads too.

        What is at `path` already is replaced once the new file is whole. Raises `ValueError` for other suffixes.
        """
        target = checked_path("path", path)
        with Outputs() as outputs:
            staged = outputs.path(target)
            if target.suffix == ".html":
                _files.write(staged, self.page().encode())
            elif target.suffix == ".json":
                _files.write_json(
                    staged,
                    {"verdict": self.verdict.as_dict(), "dataset": _plain(self.dataset.to_dict())},
                    indent=None,
                )
            else:
                self.dataset.to_zarr(staged, zarr_format=2, consolidated=True)
        return target

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that were learnt against the rest, one after the other; none of a report on two classes.

        >>> print(report.classes)  # doctest: +SKIP
        ('cat', 'dog', 'owl')
        """
        return tuple(map(str, self.dataset["class"].values)) if "class" in self.dataset.dims else ()

    def of(self, name: str) -> Report:
        """The report of one of several classes against the rest. Raises `ValueError` for other names.

        >>> cat = report.of("cat")  # doctest: +SKIP
        """
        from gsdyn.diagnosis.classes import parted

        if not self.classes:
            raise ValueError(f"name must be left to a report on several classes, got {name!r} for one on two")
        return parted(self.dataset, name)

    def page(self) -> str:
        """The report as a page of HTML that opens anywhere: what `save` writes as `.html`.

        >>> page = report.page()  # doctest: +SKIP
        """
        from gsdyn.plotting import report_page

        return report_page(self.dataset, self.verdict, {name: self.of(name) for name in self.classes})

    @classmethod
    def load(cls, path: str | Path) -> Report:
        """A report that `save` wrote as `.zarr` or `.json`. Raises `ValueError` for anything else."""
        import xarray as xr

        source = _files.as_path("path", path)
        if source.suffix not in (".json", ".zarr") or not source.exists():
            raise ValueError(f"path must be a saved report, .zarr or .json, got {source}")
        try:
            if source.suffix == ".json":
                dataset = _revived(json.loads(source.read_text())["dataset"])
            else:
                dataset = xr.open_zarr(source, consolidated=True).load()
            verdict = Verdict.from_dict(json.loads(dataset.attrs["verdict"]))
            return cls(_completed(dataset, verdict), verdict)
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise ValueError(f"path must be a saved report, got {source}: {error}") from None

    def __str__(self) -> str:
        return str(self.verdict)

    def __repr__(self) -> str:
        a = self.dataset.attrs
        head = f"Report of {a['n']} examples, {a['features']} features: {self.verdict.kind}"
        return "\n".join([head, *(f"  {sentence}" for sentence in self.verdict.sentences)])

    def _repr_html_(self) -> str:
        first, *rest = repr(self).splitlines()
        items = "".join(f"<li>{html.escape(line.strip())}</li>" for line in rest)
        return f"<b>{html.escape(first)}</b><ul>{items}</ul>"


def checked_path(name: str, path: str | Path) -> Path:
    """Where a report is to be written, by its suffix."""
    target = _files.as_path(name, path)
    if target.suffix not in SUFFIXES:
        raise ValueError(f"{name} must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, got {str(path)!r}")
    return target


def _plain(value: Any) -> Any:
    """What JSON can hold: no NaN (null), no infinities (words), no types of NumPy."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None if np.isnan(value) else str(value)
    return value


def _completed(dataset: xr.Dataset, verdict: Verdict) -> xr.Dataset:
    """A saved dataset with what reports of before lack and the verdict told in its records."""
    from gsdyn.diagnosis import _schema
    from gsdyn.diagnosis.attributes import RARE
    from gsdyn.diagnosis.features import large
    from gsdyn.diagnosis.starving import HOLDS

    dataset.attrs.setdefault("rare", RARE)
    dataset.attrs.setdefault("holds", HOLDS)
    several = ("class",) if "class" in dataset.dims else ()
    if "response_time" in dataset and "large" not in dataset:
        dims, _, about = _schema.variable("large", None)
        last = dataset["response_time"].isel(time=-1).transpose(*several, *dims)
        dataset["large"] = ((*several, *dims), large(last.values), about)
    if "attribute" in dataset.coords and "attribute_feature" not in dataset:
        dims, _, about = _schema.variable("attribute_feature", None)
        told = [
            [r["feature"] for r in verdict.attributes if r["attribute"] == name] for name in dataset["attribute"].values
        ]
        rows = np.array(told, int).reshape(len(told), dataset.sizes.get("class", 1)).T
        dataset["attribute_feature"] = ((*several, *dims), rows if several else rows[0], about)
    return dataset


def _revived(given: dict[str, Any]) -> xr.Dataset:
    """The dataset as it was before JSON: numbers where null and words for infinities stood, and empty tables whose
    shape a list of nothing does not tell."""
    import xarray as xr

    for variable in (*given["coords"].values(), *given["data_vars"].values()):
        shape = [given["dims"][dim] for dim in variable["dims"]]
        if 0 in shape:
            variable["data"] = np.zeros(shape)
    dataset = xr.Dataset.from_dict(given)
    for name in dataset.variables:
        column = dataset[name]
        if column.dtype == object and not any(
            isinstance(v, str) and v not in ("inf", "-inf") for v in column.values.flat
        ):
            dataset[name] = column.astype(float)
    return dataset
