"""What supernet and discrete network have in common: their sizes, and where their CNN cells stand."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ser_darts.models.sequence import SequencePart
from jax_ser_darts.models.sequence_cells import SequenceCells
from jax_ser_darts.models.stem import CONV, arranged
from jax_ser_darts.ops.backend import CUSTOM, Backend
from jax_ser_darts.ops.masks import ValidPositions, halved, valid_positions
from jax_ser_darts.search_space.reductions import reduction_cells


@dataclasses.dataclass(frozen=True)
class CellPlace:
    """Where a CNN cell stands.

    Attributes:
        index: from 0.
        reduction: whether it halves T and F.
        channels: of each of its nodes.
        s0_stride: 2 where the cell before the last one has twice the size of the last.
    """

    index: int
    reduction: bool
    channels: int
    s0_stride: int


class CellNetwork(nn.Module):
    """Stem, CNN cells and a sequence part; see `Supernet` and `Network`.

    Attributes:
        classes: number of emotions.
        cells: CNN cells; those of `reductions` halve T and F, by default the ones at 1/3 and 2/3.
        channels: C of the first cell, doubled at each reduction.
        stem_multiplier: stem channels / C.
        stem: CONV or PROJECT, see stem.py.
        stem_stride: 1, or 2 to halve T and F before the first cell.
        dropout: after each cell, and in the sequence part.
        project, hidden, attention: widths of the fixed sequence part, see `SequencePart`.
        sequence_cells, sequence_width: see `SequenceCells`; where there is a sequence cell.
        backend: CUSTOM or REFERENCE.
        axis_name: mapped axis of devices that share the statistics, or None.
    """

    classes: int
    cells: int
    channels: int
    stem_multiplier: int = 3
    stem: str = CONV
    stem_stride: int = 1
    reductions: frozenset[int] | None = None
    dropout: float = 0.0
    project: int = 64
    hidden: int = 64
    attention: int = 64
    sequence_cells: int = 4
    sequence_width: int = 16
    backend: Backend = CUSTOM
    axis_name: str | None = None
    dtype: jnp.dtype = jnp.dtype(jnp.float32)

    def places(self) -> list[CellPlace]:
        """The place of each CNN cell."""
        reductions = reduction_cells(self.cells, self.reductions)
        channels, s0_stride, places = self.channels, 1, []
        for index in range(self.cells):
            channels *= 2 if index in reductions else 1
            places.append(CellPlace(index, index in reductions, channels, s0_stride))
            s0_stride = 2 if index in reductions else 1
        return places

    def start(
        self, features: jax.Array, num_frames: jax.Array
    ) -> tuple[jax.Array, ValidPositions, ValidPositions]:
        """Features `[B, T, F]` as the stem takes them; the positions before and after the stem.

        See `stem.arranged`.
        """
        maps = arranged(features, self.stem)
        _, t, f, _ = maps.shape
        before = valid_positions(num_frames, (t, f), self.dtype, self.axis_name)
        return maps * before.mask, before, self.after(before, self.stem_stride == 2)

    def after(self, valid: ValidPositions, reduction: bool) -> ValidPositions:
        """The positions after what halves T and F, or does not."""
        return halved(valid, self.axis_name) if reduction else valid

    def sequence_part(self, **cells: Any) -> nn.Module:
        """What follows the CNN: sequence cells, where `cells` says which; else the fixed part."""
        if cells:
            return SequenceCells(
                classes=self.classes,
                cells=self.sequence_cells,
                width=self.sequence_width,
                attention=self.attention,
                dropout=self.dropout,
                dtype=self.dtype,
                name="sequence",
                **cells,
            )
        return SequencePart(
            classes=self.classes,
            project=self.project,
            hidden=self.hidden,
            attention=self.attention,
            dropout=self.dropout,
            dtype=self.dtype,
            name="sequence",
        )


def sizes(section: Any, model: Any) -> dict[str, Any]:
    """The sizes of a `CellNetwork`, as its arguments.

    Args:
        section: the settings `search` or `train`.
        model: the settings `model`.
    """
    return {
        "cells": section.cells,
        "channels": section.channels,
        "reductions": frozenset(section.reductions) or None,
        "dropout": section.dropout,
        "sequence_cells": section.sequence_cells,
        "sequence_width": section.sequence_width,
        "stem_multiplier": model.stem_multiplier,
        "stem": model.stem,
        "stem_stride": model.stem_stride,
        "project": model.project,
        "hidden": model.hidden,
        "attention": model.attention,
    }
