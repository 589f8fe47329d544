"""The highest rate that loses nothing, found by trials that are noisy.

As `speadway bench` does it (cli/src/bench/search.rs says why): every trial changes how likely each rate is
the critical one, at which half of the trials are clean, and the next is made where that is most open.
"""

import math

# How gradual the change from clean to lossy is, in parts of the critical rate; how often a trial loses
# something whatever the rate; how often one is clean though the rate is far too high.
WIDTHS = [0.003, 0.01, 0.03, 0.06, 0.12]
LAPSES = [0.002, 0.02, 0.08, 0.2, 0.45]
GUESS = 0.005

# The critical rate may lie above the highest that can be tried, up to so many times as much.
REACH = 1.2
BINS = 120


class Search:
    """What is believed of a critical rate, which is tried for from `low` to `high`."""

    def __init__(self, low, high):
        self.high = high
        step = (high * REACH - low) / BINS
        self.rates = [low + (at + 0.5) * step for at in range(BINS)]
        self.states = [(rate, width, lapse) for rate in self.rates for width in WIDTHS for lapse in LAPSES]
        self.belief = [1 / len(self.states)] * len(self.states)

    def observe(self, rate, clean):
        """Takes in a trial at `rate` that was clean, or lost something."""
        for at, (critical, width, lapse) in enumerate(self.states):
            steepness = max(-50.0, min(50.0, (rate - critical) / (width * critical)))
            chance = GUESS + (1 - GUESS - lapse) / (1 + math.exp(steepness))
            self.belief[at] *= chance if clean else 1 - chance
        total = sum(self.belief)
        self.belief = [belief / total for belief in self.belief]

    def quantile(self, share):
        """The rate that the critical one is below with this probability."""
        below, of_a_rate = 0, len(WIDTHS) * len(LAPSES)
        for at, rate in enumerate(self.rates):
            below += sum(self.belief[at * of_a_rate:(at + 1) * of_a_rate])
            if below >= share:
                return rate
        return self.rates[-1]

    def median(self):
        """As likely above as below the critical rate, as far as it can be tried: where a trial's outcome is
        most open."""
        return min(self.high, self.quantile(0.5))

    def limited(self):
        """Whether the critical rate is rather above what can be tried."""
        return self.quantile(0.5) >= self.high

    def __str__(self):
        if self.limited():
            return f"at least {self.high:.1f} (the sender's)"
        return f"{self.median():.1f} ({self.quantile(0.1):.1f} to {self.quantile(0.9):.1f})"
