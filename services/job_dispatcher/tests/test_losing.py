import pytest
from estafette_common.jobs.lifecycle import Kind, Outcome
from estafette_common.jobs.runtimes import Loss
from job_dispatcher.losing import is_tried_again, outcome_of

PASSING = {Loss.DELETED, Loss.EVICTED, Loss.NODE, Loss.CRASHED}


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize("kind", [Kind.BUILD, Kind.BOT])
def test_a_build_or_bot_is_tried_again_where_another_pod_may_fare_better(kind: Kind, loss: Loss) -> None:
    assert is_tried_again(kind, loss, attempt=1, began=True, most_attempts=3) == (loss in PASSING)


def test_a_job_is_tried_no_more_often_than_it_may_be() -> None:
    tried = [is_tried_again(Kind.BUILD, Loss.NODE, attempt=each, began=True, most_attempts=3) for each in (1, 2, 3)]
    assert tried == [True, True, False]


@pytest.mark.parametrize("began", [False, True])
def test_a_release_is_tried_again_only_if_it_never_began(began: bool) -> None:
    assert is_tried_again(Kind.RELEASE, Loss.NODE, attempt=1, began=began, most_attempts=3) == (not began)


def test_only_a_deadline_makes_a_job_timed_out() -> None:
    assert {loss for loss in Loss if outcome_of(loss) is Outcome.TIMED_OUT} == {Loss.DEADLINE}
