"""The IDs of all claims, in the order of the papers, known before anything heavy is imported."""

IDS = (
    "P21-Def1", "P21-Eq4", "P21-Eq15", "P21-Thm2", "P21-Thm2-exact", "P21-Eq16", "P21-G", "P21-G-spread", "P21-Eq6",
    "P21-Eq7", "P21-Eq8", "P21-Eq8-gap", "P21-Eq9", "P21-Eq10", "P21-Eq10-limit", "P21-Thm1", "P21-Thm1-rate",
    "P21-Thm1-bound", "P21-Eq11", "P21-Table4-hinge", "P21-Table4-squared", "P21-Eq12", "P21-Eq12-exact", "P21-Eq13",
    "P21-Eq13-exact", "P21-Lemma1", "P21-Lemma1-uniform", "P21-Eq29", "P21-Eq30", "P21-Eq30-binary",
    "P21-Eq30-starvation", "P21-Eq17", "P21-Eq18", "P21-SD-fixed-point", "P21-SD-G", "P21-SD-classwise",
    "P21-SD-mixed", "P21-SD-G-mixed", "P21-SD-flow", "P21-SD-flow-end", "P21-SD-dual-responses", "P21-B1", "C18-Eq1",
    "C18-Eq13", "C18-Eq2", "C18-Eq14", "C18-Thm3.2", "C18-Eq18", "C18-Eq18-rate", "C18-Eq3", "C18-Eq19", "C18-Cor3.3",
    "C18-Cor3.3-equal", "C18-Cor3.3-limit", "C18-3.3", "C18-A.7", "C18-Eq4", "C18-Eq4-closed", "C18-3.4", "C18-A.2",
    "C18-A.4", "C18-A.4-any", "C18-A.6", "C18-A.6-winner", "C18-A.8", "C18-Thm4.1", "C18-Fig4", "C18-C.2",
    "C18-C.2-before", "C18-C.2-chain", "C18-Eq7", "C18-Eq7-invariant", "C18-Thm5.1", "C18-Thm5.1-fair",
    "C18-Thm5.1-tight", "C18-ThmD.2", "C18-Table1", "C18-Table1-integrated", "C18-Fig5", "beyond-Thm2-time",
    "beyond-Thm2-time-SD", "beyond-G-limit", "beyond-SD-ridgeless", "beyond-unlearning", "beyond-hard-margin",
    "beyond-gap", "beyond-Puli-SD", "beyond-Nagarajan-skew", "beyond-Shah-AUC",
)  # fmt: skip
