"""Words of the C library and of Windows in other languages, where a message has none that stays the same."""

# ruff: noqa: RUF001 - letters of other alphabets are meant

from __future__ import annotations

import re

# Fragments, in lower case, in the spelling of the libraries' own catalogues: de, es, fr, it, ja, ko, nl, pl, pt, pt_BR,
# ru, sv, tr, uk, cs, zh_CN, zh_TW. Numbers, names and ELF's own words (ELFCLASS32, TLS) are the same in all of them.
CANNOT_OPEN = (
    "kann die shared-object-datei nicht öffnen",
    "no se puede abrir el fichero del objeto compartido",
    "no se puede abrir el archivo del objeto compartido",
    "ne peut ouvrir le fichier d'objet partagé",
    "impossible d'ouvrir le fichier d'objet partagé",
    "impossibile aprire il file oggetto condiviso",
    "impossibile aprire il file object condiviso",
    "共有オブジェクトファイルを開けません",
    "오브젝트 파일을 열 수 없습니다",
    "공유 목적 파일을 열 수 없습니다",
    "kan gedeeld objectbestand niet openen",
    "nie można otworzyć pliku obiektu dzielonego",
    "impossível abrir ficheiro-objecto partilhado",
    "não é possível abrir arquivo compartilhado",
    "não foi possível abrir arquivo de objetos compartilhados",
    "невозможно открыть разделяемый объектный файл",
    "не удалось открыть разделяемый объектный файл",
    "kan inte öppna delad objektfil",
    "paylaşımlı nesne dosyası açılamıyor",
    "не вдалося відкрити файл об",
    "sdílený objektový soubor nelze otevřít",
    "无法打开共享对象文件",
    "無法開啟共用物件",
    "無法開啟共享物件檔",
)
TOO_SHORT = (
    "die datei ist zu kurz",
    "fichero demasiado corto",
    "archivo demasiado corto",
    "fichier trop court",
    "file troppo corto",
    "ファイルが小さすぎます",
    "ファイルが短すぎます",
    "파일이 너무 짧습니다",
    "bestand is te kort",
    "plik za krótki",
    "ficheiro muito curto",
    "arquivo pequeno demais",
    "файл слишком мал",
    "fil för kort",
    "dosya çok küçük",
    "файл є надто коротким",
    "文件过短",
    "檔案太小",
)
CANNOT_MAP = (
    "fehler beim mappen des shared objects",
    "fallo al asignar un segmento del objeto compartido",
    "du segment de l'objet partagé",
    "mappatura del segmento dall'oggetto condiviso",
    "共有オブジェクトのセグメントをマップするのに失敗しました",
    "kan segment van gedeeld object niet in het geheugen plaatsen",
    "odwzorowanie segmentu z obiektu dzielonego",
    "falha no mapeamento de segmento do objeto compartilhado",
    "сбой отображения сегмента из разделяемого объекта",
    "无法从共享目标中映射段",
    "從共用物件中對映區段失敗",
)
EXECUTABLE_STACK = (
    "kann den stack nicht ausführbar machen",
    "no se puede activar la pila ejecutable",
    "ne peut activer une pile exécutable",
    "impossibile abilitare lo stack eseguibile",
    "実行可能スタックを有効にできません",
    "실행할 수 있는 스택",
    "kan uitvoerbare stack niet aanzetten",
    "nie można włączyć wykonywalnego stosu",
    "não foi possível habilitar pilhas de executável",
    "невозможно задействовать исполняемый стек",
    "kan inte skapa exekverbar stack",
    "无法启用共享目标需要的",
    "執行堆疊",
    "可執行堆疊",
)
NO_SUCH_FILE = (
    "datei oder verzeichnis nicht gefunden",
    "no existe el fichero o el directorio",
    "no existe el archivo o el directorio",
    "aucun fichier ou dossier de ce type",
    "file o directory non esistente",
    "そのようなファイルやディレクトリはありません",
    "그런 파일이나 디렉터리가 없습니다",
    "bestand of map bestaat niet",
    "nie ma takiego pliku ani katalogu",
    "ficheiro ou pasta inexistente",
    "arquivo ou diretório inexistente",
    "arquivo ou diretório não encontrado",
    "нет такого файла или каталога",
    "filen eller katalogen finns inte",
    "böyle bir dosya ya da dizin yok",
    "没有那个文件或目录",
    "沒有此一檔案或目錄",
)
NO_PERMISSION = (
    "keine berechtigung",
    "permiso denegado",
    "permission non accordée",
    "permesso negato",
    "許可がありません",
    "허가 거부",
    "toegang geweigerd",
    "brak dostępu",
    "permissão negada",
    "отказано в доступе",
    "åtkomst nekas",
    "erişim engellendi",
    "权限不够",
)
SEGFAULT = (
    "speicherzugriffsfehler",
    "violación de segmento",
    "erreur de segmentation",
    "errore di segmentazione",
    "段错误",
    "段錯誤",
    "程式記憶體區段錯誤",
    "セグメンテーションフォルト",
    "세그멘테이션 오류",
    "세그멘테이션 폴트",
    "falha de segmentação",
    "ошибка сегментирования",
    "naruszenie ochrony pamięci",
    "segmentatiefout",
    "segmenteringsfel",
)
ILLEGAL_INSTRUCTION = (
    "ungültiger maschinenbefehl",
    "instrucción ilegal",
    "instruction non permise",
    "instruction illégale",
    "istruzione non consentita",
    "istruzione illegale",
    "非法指令",
    "無效指令",
    "不正な命令",
    "명령어가 잘못됨",
    "instrução ilegal",
    "недопустимая инструкция",
    "błędna instrukcja",
    "ongeldige instructie",
    "otillåten instruktion",
)
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
)


def any_of(fragments: tuple[str, ...]) -> str:
    """A pattern that matches any of these, word for word."""
    return "|".join(re.escape(one).replace(r"\ ", " ") for one in fragments)


def has_any(text: str, fragments: tuple[str, ...]) -> bool:
    """Whether one of these is in a text, which is in lower case."""
    return any(one in text for one in fragments)
