"""What jobs take of a machine. Pure."""

from pydantic import BaseModel, ConfigDict, Field

LARGEST = 2**63 - 1


class Usage(BaseModel):
    """The most that a job took, or that several did."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    memory: int = Field(ge=0, le=LARGEST)
    """Bytes in use that cannot be given back, at one moment."""
    cpu: float = Field(ge=0, allow_inf_nan=False)
    """Cores, over one minute; of a shorter job over its whole time."""
    out_of_memory: bool = False
    """Whether something was ended for want of memory, so that it is not known how much is needed."""
