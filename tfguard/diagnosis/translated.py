"""Words of Windows in other languages, where a message has none that stays the same; how fragments are looked for."""

# ruff: noqa: RUF001 - letters of other alphabets are meant

from __future__ import annotations

import re

# Fragments, in lower case, in the spelling of Windows itself.
# Windows' texts for 126, 127 and 1114; each ends what Python writes after "DLL load failed".
MODULE_NOT_FOUND = (
    "could not be found",
    "cannot be found",
    "das angegebene modul wurde nicht gefunden",
    "no se puede encontrar el módulo",
    "no se encontró el módulo",
    "le module spécifié est introuvable",
    "impossibile trovare il modulo",
    "指定されたモジュールが見つかりません",
    "지정된 모듈을 찾을 수 없습니다",
    "kan opgegeven module niet vinden",
    "nie można odnaleźć określonego modułu",
    "não foi possível encontrar o módulo",
    "не найден указанный модуль",
    "belirtilen modül bulunamadı",
    "找不到指定的模块",
    "找不到指定的模組",
    "找不到指定模块",
)
PROCEDURE_NOT_FOUND = (
    "specified procedure could not be found",
    "procedure entry point",
    "angegebene prozedur wurde nicht gefunden",
    "no se encontró el proceso especificado",
    "no se puede encontrar el procedimiento",
    "la procédure spécifiée est introuvable",
    "impossibile trovare la procedura",
    "指定されたプロシージャが見つかりません",
    "지정된 프로시저를 찾을 수 없습니다",
    "não foi possível encontrar o procedimento",
    "не найдена указанная процедура",
    "找不到指定的程序",
    "procedur",
    "процедур",
    "yordam",
    "eljárás",
)
# What fails as a whole mentions the DLL once more, in brackets in most languages.
INITIALISATION = (
    "initialization routine",
    "initialisation routine",
    "initialisierungsroutine",
    "rutina de inicialización",
    "routine d'initialisation",
    "routine di inizializzazione",
    "rotina de inicialização",
    "初期化ルーチン",
    "초기화 루틴",
    "初始化例程",
    "初始化例程失败",
    "初始化常式",
    "программе инициализации",
    "(dll)",
    # stems of the word in any sentence: the texts of 126, 127 and 193 have none of them
    "initiali",
    "inicializ",
    "inițializ",
    "inicjow",
    "initier",
    "инициализац",
    "ініціалізац",
    "başlat",
    "αρχικοπο",
    "khởi tạo",
    "alust",
)


def any_of(fragments: tuple[str, ...]) -> str:
    """A pattern that matches any of these, word for word."""
    return "|".join(re.escape(one).replace(r"\ ", " ") for one in fragments)


def has_any(text: str, fragments: tuple[str, ...]) -> bool:
    """Whether one of these is in a text, which is in lower case."""
    return any(one in text for one in fragments)
