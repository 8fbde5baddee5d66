"""The words of messages in other languages than English, which the code has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

Language = Literal["en", "ko"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

KOREAN: Mapping[str, str] = {
    "{count} datasets changed their source": "데이터셋 {count}개의 소스가 바뀌었습니다",
    "{headline} (next run: {due})": "{headline} (다음 실행: {due})",
    "… and {count} more": "… 외 {count}개",
    "Code has taken over; the manual file is kept.": "이제 코드의 스펙이 적용됩니다. 수동 파일은 그대로 남아 있습니다.",
    "Code no longer has this dataset; the manual spec is effective again.": (
        "코드에 이 데이터셋이 더 이상 없어 수동 스펙이 다시 적용됩니다."
    ),
    "{dataset} completed": "{dataset} 완료",
    "{dataset} failed": "{dataset} 실패",
    "{dataset} was stopped": "{dataset} 중지됨",
    "{dataset} still fails: {count} runs in a row": "{dataset} 계속 실패 중: 연속 {count}회",
    "{dataset} is late: {partition}": "{dataset} 지연: {partition}",
    "{dataset} is late: {count} partitions since {partition}": "{dataset} 지연: {partition}부터 파티션 {count}개",
    "{dataset} has recovered": "{dataset} 정상으로 돌아왔습니다",
    "{dataset} is slow: {run_id}": "{dataset} 실행이 오래 걸립니다: {run_id}",
    "The backfill of {dataset} completed": "{dataset} 백필 완료",
    "The backfill of {dataset} failed": "{dataset} 백필 실패",
    "The backfill of {dataset} was stopped": "{dataset} 백필 중지됨",
    "Airflow's scheduler is lost": "Airflow 스케줄러가 응답하지 않습니다",
    "Airflow's scheduler is back": "Airflow 스케줄러가 다시 동작합니다",
    "No scheduled run starts until it is back.": "다시 동작할 때까지 예약된 실행이 시작되지 않습니다.",
    "Test message for {name}": "{name} 테스트 메시지",
    "This is a test. Messages will arrive here.": "테스트입니다. 메시지가 이 채널로 전송됩니다.",
    "This is a test. Messages about {event} will arrive here.": "테스트입니다. {event} 메시지가 이 채널로 전송됩니다.",
    "changes of the source": "소스 변경",
    "failed runs": "실패한 실행",
    "completed runs": "완료된 실행",
    "late partitions and slow runs": "지연된 파티션과 오래 걸리는 실행",
    "the first success after trouble": "장애 후 첫 성공",
    "ended backfills": "끝난 백필",
    "File": "파일",
    "{file} (spec {hash})": "{file} (스펙 {hash})",
    "Before": "이전",
    "Commit": "커밋",
    "{commit} in {repository}": "{commit} ({repository})",
    "Next run": "다음 실행",
    "Run": "실행",
    "Source": "소스",
    "{source}, spec {hash}": "{source}, 스펙 {hash}",
    "Partition": "파티션",
    "Partitions": "파티션",
    "Parameters": "파라미터",
    "Attempts": "시도",
    "{count} of {limit}": "{limit}회 중 {count}회",
    "Ended": "종료",
    "Error": "오류",
    "Checks": "검사",
    "{count} passed": "통과 {count}개",
    "{count} failed": "실패 {count}개",
    "{count} warned": "경고 {count}개",
    "Note": "메모",
    "Log": "로그",
    "Run it again": "다시 실행",
    "Failing since": "실패 시작",
    "Late since": "지연 시작",
    "State": "상태",
    "Next": "다음 단계",
    "As last known": "마지막으로 확인된 상태",
    "Running since": "실행 시작",
    "Limit": "제한",
    "{seconds} s": "{seconds}초",
    "Backfill": "백필",
    "Last heartbeat": "마지막 신호",
    "Dataset": "데이터셋",
    "Datasets": "데이터셋",
    "In Airflow": "Airflow에서 보기",
}
"""Korean, by the English text that the code has."""

_TEXTS: Mapping[Language, Mapping[str, str]] = {"en": {}, "ko": KOREAN}


class Wording:
    """Writes texts in one language.

    Args:
        language: The language.
    """

    def __init__(self, language: Language = "en") -> None:
        self._texts = _TEXTS[language]

    def __call__(self, text: str, **values: Any) -> str:
        """Return an English text in the language, with values in its places."""
        return self._texts.get(text, text).format(**values) if values else self._texts.get(text, text)
