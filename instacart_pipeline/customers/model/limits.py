"""What counts as a shift of the sizes of segments. Free of imports, as the asset's check goes by it too."""

SOME, MUCH = 0.1, 0.25
"""Population stability index from which sizes have shifted somewhat, and from which they have shifted much: the rule of thumb of credit scoring
(Siddiqi 2006, Credit Risk Scorecards; on its limits du Pisanie et al. 2023, arXiv:2303.01227)."""
