"""Step: what all atomics are, a value that names one thing to do and on what."""

from pydantic import BaseModel, ConfigDict


class Step(BaseModel):
    """One indivisible step; `kind` is the original's name of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")
