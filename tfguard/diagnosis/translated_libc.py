"""What the C library says of files and signals in other languages, as its own catalogues spell it."""

# ruff: noqa: RUF001 - letters of other alphabets are meant

from __future__ import annotations


def _each(text: str) -> tuple[str, ...]:
    """The fragments, which a bar or a line end parts."""
    return tuple(one for line in text.split("\n") for part in line.split("|") if (one := part.strip()))


# Fragments, in lower case, of glibc 2.36 and, where they differ, of older releases. Numbers, names and ELF's own words
# (ELFCLASS32, TLS) are the same in all languages; undefined symbols and versions are told in English only. The longest
# comes first: where one is a part of another, the whole of it is what the loader said.
CANNOT_OPEN = _each(
    """
    não foi possível abrir arquivo de objetos compartilhados
    не вдалося відкрити файл об'єктів спільного використання | non se pode abrir un ficheiro de obxecto compartido
    no se puede abrir el fichero del objeto compartido | no se puede abrir el archivo del objeto compartido
    nije moguće otvoriti datoteku zajedničkoga objekta | impossibile de aperir un file de objecto condivise
    no s'ha pogut obrir el fitxer d'objecte compartit | не може да се отвори файлът със споделения обект
    impossible d'ouvrir le fichier d'objet partagé | невозможно открыть разделяемый объектный файл
    не удалось открыть разделяемый объектный файл | nie je možné otvoriť súbor zdieľaného objektu
    impossibile aprire il file oggetto condiviso | impossível abrir ficheiro-objecto partilhado
    deljene predmetne datoteke ni mogoče odpreti | impossibile aprire il file object condiviso
    nie można otworzyć pliku obiektu dzielonego | не могу да отворим датотеку дељеног објекта
    não é possível abrir arquivo compartilhado | nem nyitható meg a megosztott objektumfájl
    kann die shared-object-datei nicht öffnen | ne peut ouvrir le fichier d'objet partagé
    не ўдалося адкрыць супольны аб'ектны файл | không thể mở tập tin đối tượng dùng chung
    ne eblas malfermi komunan objektdosieron | tidak dapat membuka berkas objek terbagi
    nepavyko atverti bendrojo objekto failo | sdílený objektový soubor nelze otevřít
    kan gedeeld objectbestand niet openen | jaettua objektitiedostoa ei voi avata
    paylaşımlı nesne dosyası açılamıyor | kan inte öppna delad objektfil | kan ikke åbne delt objektfil
    не вдалося відкрити файл об | 동적 오브젝트 파일을 열 수 없습니다 | 共有オブジェクトファイルを開けません
    공유 목적 파일을 열 수 없습니다 | 오브젝트 파일을 열 수 없습니다 | 无法打开共享对象文件 | 無法開啟共享物件檔
    無法開啟共用物件
    """
)
TOO_SHORT = _each(
    """
    ficheiro pequeno de máis | fichero demasiado corto | archivo demasiado corto | el fitxer és massa curt
    soubor je příliš krátký | tiedosto on liian lyhyt | arquivo pequeno demais | súbor je príliš krátky
    die datei ist zu kurz | файл є надто коротким | dosiero tro mallongas | datoteka je prekratka
    berkas terlalu pendek | датотека је прекратка | ficheiro muito curto | файлът е твърде къс | fichier trop court
    bestand is te kort | failas per trumpas | file troppo corto | file troppo curte | файл слишком мал
    a fájl túl rövid | tập tin quá ngắn | dosya çok küçük | plik za krótki | файл закароткі | fil för kort
    for kort fil | ファイルが小さすぎます | 파일이 너무 짧습니다 | ファイルが短すぎます | 文件过短 | 檔案太小
    """
)
UNREADABLE = _each(
    """
    no s'han pogut llegir les dades del fitxer | não foi possível carregar dados do arquivo
    nije moguće pročitati podatke iz datoteke | no se pueden leer los datos del fichero
    не може да се прочетат данни от файлът | non se pode le-los datos do ficheiro
    podatkov datoteke ni mogoče prebrati | не могу да прочитам податке података
    ne peut lire les données du fichier | impossibile de leger datos del file | impossibile leggere il file di dati
    nepavyko nuskaityti failo duomenų | nie można odczytać danych z pliku | невозможно прочитать данные файла
    nie je možné načítať údaje súboru | не ўдалося прачытаць даныя файла | kann die datei-daten nicht lesen
    impossível ler dados do ficheiro | tidak dapat membaca berkas data | kan bestandsgegevens niet lezen
    не вдалося прочитати дані файла | không thể đọc dữ liệu tập tin | data ze souboru nelze načíst
    ne eblas legi dosierdatumojn | tiedoston dataa ei voi lukea | nem olvashatók a fájladatok
    kan ikke indlæse fildata | dosya verisi okunamıyor | kan inte läsa fildata | 파일 데이터를 읽을 수 없습니다
    ファイルデータを読み込めません | 无法读入文件数据 | 無法讀取檔案資料
    """
)
BAD_HEADER = _each(
    """
    la capçalera elf no és vàlida | неправилен elf заглавен блок | intestazione elf non valida
    netaisyklinga elf antraštė | nieprawidłowy nagłówek elf | няправільны загаловак elf | cabeçalho de elf inválido
    некоректний заголовок elf | phần đầu elf không hợp lệ | virheellinen elf-otsikko | cabeceira elf non válida
    neprípustná elf hlavička | nevaljano elf zaglavlje | неисправно елф заглавље | érvénytelen elf fejléc
    header elf tidak valid | cabeçalho elf inválido | неверный заголовок elf | neplatný hlavička elf
    ungültiger elf-header | cabecera elf inválida | en-tête elf invalide | testa elf incorrecte
    ongeldige elf-header | neveljavna glava elf | geçersiz elf başlığı | ugyldigt elf-hoved | ogiltigt elf-huvud
    nevalida elf-ĉapo | 無効な elf ヘッダーです | elf 헤더가 잘못됨 | 無效的 elf 標頭 | 无效的 elf 头
    """
)
OS_ABI = _each(
    """
    elf файлът е с неправилен номер на дпи(abi-двоичен програмен интерфейс) за ос
    l'abi de sistema operatiu del fitxer elf no és vàlida | système d'exploitation du fichier elf abi invalide
    hệ điều hành abi của tập tin elf không phải hợp lệ | abi del file elf del sistema operativo non valido
    abi de systema operative del file elf invalide | elf-fil har felaktig version på os-abi
    das os abi der elf datei ist ungültig | elf-tiedoston os abi on virheellinen
    abi do so do ficheiro elf non válida | abi del os del fichero elf inválida | os abi od elf datoteke nije valjani
    niepoprawne abi systemu w pliku elf | os-abi van elf-bestand is ongeldig | няправільны abi сістэмы файла elf
    az elf fájl os abi-ja érvénytelen | abi de so do arquivo elf inválido | ос аби елф датотеке није исправно
    elf failo os abi netaisyklingas | os abi do ficheiro elf inválida | os abi datoteke elf ni veljaven
    некоректний abi ос у файлі elf | elf-filens os abi er ugyldigt | berkas os abi elf tidak valid
    elf dosyası os abi geçersiz | neplatný os abi elf súboru | chybné abi os souboru elf | неверный abi ос elf-файла
    elf 파일 os abi가 잘못되었습니다 | elf ファイル os abi が無効です | elf 檔 os abi 版本不適用
    elf 文件 os abi 无效
    """
)
CANNOT_MAP = _each(
    """
    nije uspjelo mapirati segment iz zajedničkog objekta u memoriju
    не вдалося відобразити сегмент з об'єкта спільного використання
    kan segment van gedeeld object niet in het geheugen plaatsen
    odwzorowanie segmentu z obiektu dzielonego nie powiodło się
    mappatura del segmento dall'oggetto condiviso non riuscita
    échec d'adressage (mapping) du segment de l'objet partagé
    a szegmens leképezése meghiúsult a megosztott objektumból
    falha no mapeamento de segmento do objeto compartilhado | namapování segmentu ze sdíleného objektu se nepodařilo
    non se puido mapear un segmento dun obxecto compartido | no s'ha pogut mapar un segment de l'objecte compartit
    nepodarilo sa namapovať segment zo zdieľaného objektu | segmentin kartoitus jaetusta objektista epäonnistui
    preslikava segmenta iz deljenega predmeta ni uspela | fallo al asignar un segmento del objeto compartido
    сбой отображения сегмента из разделяемого объекта | не ўдалося загрузіць сегмент з супольнага аб'екта
    пропадна изображението на дял от споделения обект | нисам успео да мапирам подеок из дељеног објекта
    misslyckades att mappa segment från delat objekt | gagal untuk memetakan segmen dari objek terbagi
    falha ao mapear segmento de objecto partilhado | mappatura del segmento dall'oggetto condiviso
    kunne ikke afbilde segment fra delt objekt' | insuccesso de mmap sur un objecto condivise
    odwzorowanie segmentu z obiektu dzielonego | parça paylaşımlı nesneden eşleştirilemedi
    lỗi ánh xạ đoạn từ đối tượng dùng chung | fehler beim mappen des shared objects | du segment de l'objet partagé
    共有オブジェクトのセグメントをマップするのに失敗しました | 동적 오브젝트의 세그먼트를 매핑하는 실패
    從共用物件中對映區段失敗 | 无法从共享目标中映射段
    """
)
EXECUTABLE_STACK = _each(
    """
    não foi possível habilitar pilhas de executável como requisitado pelo objeto compartilhado
    nem engedélyezhető a végrehajtható verem, mint ahogy a megosztott objektum megköveteli
    не вдалося увімкнути стек виконання, як цього вимагає об'єкт спільного використання
    стекът не може да се разреши за изпълнение, както е поискано от споделения обект
    impossibile de habilitar un pila executabile como le objecto condivise necessita
    không thể hiệu lực ngăn xếp thực hiện được theo yêu cầu của đối tượng dùng chung
    no s'ha pogut habilitar la pila executable a requeriment de l'objecte compartit
    no se puede activar la pila ejecutable tal y como el objeto compartido necesita
    impossibile abilitare lo stack eseguibile come richiesto dall'oggetto condiviso
    tidak dapat mengaktifkan stack aplikasi sebagai objek terbagi yang dibutuhkan
    paylaşımlı nesnenin gerektirdiği çalıştırılabilir yığıt etkinleştirilemiyor
    impossível activar a pilha do executável como o objecto partilhado requer
    невозможно задействовать исполняемый стек, как требует разделяемый объект
    izvedljivega sklada ni mogoče omogočiti, kot to zahteva deljeni predmet
    nije moguće koristiti izvršni stȏg kako to zahtijeva zajednički objekt
    nie można włączyć wykonywalnego stosu wymaganego przez obiekt dzielony
    nie je možné povoliť spustiteľný zásobník ako vyžaduje zdieľaný objekt
    kann den stack nicht ausführbar machen wie vom shared object verlangt
    ne peut activer une pile exécutable comme l'objet partagé le requiert
    не могу да омогућим спремник извршног као што захтева дељени објекат
    nemohu povolit spustitelnost zásobníku, jak vyžaduje sdílený objekt
    kan uitvoerbare stack niet aanzetten zoals gedeeld object vereist
    не ўдалося ўключыць выканальны стэк, як патрабуе супольны аб'ект
    kan ikke oprette udførbar stak som kræves af delt objekt
    kan inte skapa exekverbar stack som delat objekt kräver | não foi possível habilitar pilhas de executável
    impossibile abilitare lo stack eseguibile | невозможно задействовать исполняемый стек
    kann den stack nicht ausführbar machen | no se puede activar la pila ejecutable
    nie można włączyć wykonywalnego stosu | kan uitvoerbare stack niet aanzetten
    실행할 수 있는 스택을 공유 오브젝트 필수요소로 만들 수 없습니다 | ne peut activer une pile exécutable
    共有オブジェクトが必要としている実行可能スタックを有効にできません | kan inte skapa exekverbar stack
    実行可能スタックを有効にできません | 無法開啟可執行堆疊做為共用物件 | 无法启用共享目标需要的执行栈
    실행할 수 있는 스택 | 无法启用共享目标需要的 | 可執行堆疊 | 執行堆疊
    """
)
STATIC_TLS = _each(
    """
    не вдалося отримати область пам'яті у статичному блоці tls
    ne peut allouer de la mémoire dans un bloc statique tls
    tidak dapat mengalokasikan memori dalam blok tls statis | nije moguće dodijeliti memoriju u statičkom tls bloku
    impossibile de allocar memoria in un bloco tls static | kan geen geheugen reserveren binnen statisch tls-blok
    não foi possível alocar memória em bloco tls estático | no se pudo asignar memoria en el bloque tls estático
    nie można przydzielić pamięci w statycznym bloku tls | немагчыма размеркаваць памяць ў статычным блоку tls
    impossibile allocare memoria nel blocco statico tls | ni mogoče dodeliti pomnilnika v statičnem bloku tls
    no s'ha pogut reservar memòria al bloc tls estàtic | nie je možné prideliť pamäť v statickom bloku tls
    не могу да доделим меморију у статичком тлс блоку | nelze alokovat paměť uvnitř statického bloku tls
    невозможно выделить память в статичном блоке tls | kein speicher im statischen tls-block verfügbar
    impossível alocar memória em bloco tls estático | не може да се задели памет в статичен tsl блок
    kan ikke tildele hukommelse i statisk tls-blok | không thể cấp phát bộ nhớ trong khối tls tĩnh
    kan inte allokera minne i statiskt tls-block | durağan tls bloğunda bellek ayrılamıyor
    정적 tls 블럭에는 메모리를 할당할 수 없습니다 | 静的 tls ブロック内にメモリを配置出来ません
    無法在靜態 tls 區塊中配置記憶體 | 无法在静态 tls 块中分配内存
    """
)
PROGRAM = _each(
    """
    не вдалося завантажити позиційно незалежний виконуваний файл у динамічному режимі
    nie można dynamicznie załadować pliku wykonywalnego niezależnego od położenia
    невозможно динамически загрузить независимый от расположения исполняемый файл
    não foi possível carregar dinamicamente o executável independente de posição
    no s'ha pogut carregar dinàmicament l'executable independent de la posició
    немагчыма загрузіць пазіцыйна-незалежную праграму ў дынамічным рэжыме
    ne peut dynamiquement charger l'exécutable indépendant de la position
    impossível carregar dinamicamente executável independente da posição
    kan positie-onafhankelijk uitvoerbaar bestand niet dynamisch laden
    nije moguće dinamički učitati izvršnu ovisnu-o-poziciji datoteku
    không thể nạp động tập tin thực hiện được không phụ thuộc vị trí
    не може да се зареди изпълним файл независим от местоположение
    kann das positions-unabhängige programm nicht dynamisch laden
    spustitelný kód nezávislý na umístění nelze dynamicky zavést
    не могу динамички да учитам извршног независног од положаја
    kan inte ladda positionsoberoende exekverbar fil dynamiskt
    konum-bağımsız yürütülebilir dinamik olarak yükleyemez | 위치 독립 실행 파일을 동적으로 읽어들일 수 없습니다
    无法动态载入位置无关可执行文件 | 無法動態載入地址無關可執行檔
    """
)
NO_DYNAMIC = _each(
    """
    objektový súbor neobsahuje žiadnu dynamickú sekciu | il file oggetto non presenta una sezione dinamica
    die objektdatei hat keine dynamischen abschnitte | o ficheiro obxecto non ten unha sección dinámica
    обектният файл е без дял за динамично свързване | objektový soubor nemá žádnou dynamickou sekci
    le fichier objet n'a pas de section dynamique | le file de objecto non ha un section dynamic
    у об'єктному файлі немає динамічного розділу | el fichero objeto no tiene sección dinámica
    az objektumfájlnak nincs dinamikus szakasza | berkas objek tidak memiliki bagian dinamis
    objektiniame faile nėra dinaminės sekcijos | objectbestand heeft geen dynamische sectie
    o ficheiro objecto não tem secção dinâmica | el fitxer d'objecte no té secció dinàmica
    objektitiedostossa ei ole dynaamista osaa | в объектном файле нет динамической секции
    predmetna datoteka nima dinamične sekcije | arquivo de objeto não tem seção dinâmica
    datoteka objekta nema dinamičku sekciju | аб'ектны файл не мае дынамічнай секцыі
    plik obiektu nie ma sekcji dynamicznej | датотека објекта нема динамички одељак
    objektfilen har ingen dynamisk sektion | objektfil har ingen dynamisk sektion
    tập tin đối tượng không có phần động | nesne dosyasının dinamik bölümü yok
    オブジェクトファイルは動的セクションを持っていません | 오브젝트 파일에 동적 섹션이 없습니다
    共用物件中沒有動態區段 | 目标文件没有动态节
    """
)
TEXT_RELOCATION = _each(
    """
    no se puede restaurar el 'prot' del segmento después de la relocalización
    no s'ha pogut restaurar la protecció del segment després de reubicar‐lo
    impossibile de restabilir le protection del segmento post le relocation
    impossibile ripristinare la protezione del segmento dopo la rilocazione
    segmenttiä ei voi muuttaa kirjoitettavaksi uudelleensijoitusta varten
    nije moguće napraviti segment za premještanje u koji je moguće pisati
    kann den segment-schutz nach der relozierung nicht wieder herstellen
    segmentin suojausta ei voi palauttaa uudelleensijoituksen jälkeen
    non se pode restaura-la protección do segmento despois de movelo
    não foi possível restaurar proteção de segmento após realocação
    дялът не може да се маркира като записваем за "преместваем код"
    no se puede hacer el segmento escribible para su relocalización
    не вдалося створити сегмент придатний до запису для пересування
    impossibile de render un segmento scribibile pro le relocation
    impossível restaurar protecção do segmento após relocalização
    ne peut rendre le segment inscriptible pour une réaffectation
    impossibile rendere il segmento scrivibile per la rilocazione
    reloc işleminden sonra prot segmanı eski haline getirilemedi
    không thể phục hồi giao thức (prot) đoạn sau khi tái định vị
    не може да се възстанови защитата на дяла след преместване
    impossível permitir escrita no segmento para relocalização
    nie je možné zmeniť segment na zapisovateľný pre relokáciu
    невозможно восстановить защиту сегмента после перемещения
    no s'ha pogut fer escrivible el segment per a reubicar‐lo
    nije moguće obnoviti zaštitu segmenta nakon premještanja
    nie można uczynić segmentu zapisywalnym w celu relokacji
    não foi possível fazer segmento gravável para realocação
    kan inte återställa segmenträttigheter efter relokering
    kann das segment nicht schreibbar machen zur relokation
    tidak dapat membuat segmen dapat ditulis untuk relokasi
    невозможно сделать сегмент записываемым для перемещения | kan segmentbescherming niet herstellen na verplaatsing
    non se pode face-lo segmento gravable para o movemento | не ўдалося аднавіць ахову сегмента пасля перамяшчэння
    не вдалося відновити захист сегмент після пересування | không thể làm cho đoạn có khả năng ghi để tái định vị
    kan segment niet schrijfbaar maken voor verplaatsing | segmenta se ne da odščititi za pisanje pred premikom
    yeniden konumlama için parça yazılabilir yapılamıyor | kan ikke genskabe segmentbeskyttelse efter flytning
    segment nelze kvůli přemístění učinit zapisovatelný | tidak dapat merestore segmen prot setelah relokasi
    не могу да повратим "prot" подеока након "reloc"-а | nie można odtworzyć ochrony segmentu po relokacji
    нельга зрабіць сегмент запісвальным для рэлакацыі | не могу да учиним подеок уписивим за премештање
    zaščite segmenta po premiku ni mogoče povrniti | kan ikke gøre segment skrivbart for relokering
    kan inte göra segment skrivbart för relokering | ne peut restaurer le segment prot après reloc
    nie je možné obnoviť segment prot po reloc | segment prot nelze po reloc obnovit
    리로케이션을 위해 세그먼트를 쓰기 가능하도록 만들 수 없습니다
    리로케이션 뒤에 prot 세그먼트를 복구할 수 없습니다 | 在 reloc 之後無法復原 segment prot
    再配置後にセグメントの prot を復元できません | セグメントを再配置用に書き込み可能に出来ません
    在重新定址以後無法將區段設為可寫入狀態 | 在重新寻址以后无法将节设为可写入状态 | 重定位后无法恢复段 prot
    """
)
NO_PERMISSION = _each(
    """
    permission non accordée | không đủ quyền truy cập | s'ha denegat el permís | овлашћење је одбијено
    відмовлено у доступі | engedély megtagadva | keine berechtigung | отказано в доступе | pristup je odbijen
    permissão recusada | prístup odmietnutý | toegang geweigerd | erişim engellendi | operace zamítnuta
    permiso denegado | permissão negada | άρνηση πρόσβασης | permesso negato | отказан достъп | mankas permeso
    åtkomst nekas | бракуе правоў | adgang nægtet | brak dostępu | ijin ditolak | ikke tilgang | lupa evätty
    拒絕不符權限的操作 | 許可がありません | 허가 거부 | 权限不够
    """
)
SEGFAULT = _each(
    """
    neoprávněný přístup do paměti (sigsegv) | σφάλμα κατάτμησης (segmentation fault)
    нарушение на разделянето(segfault) | naruszenie ochrony pamięci | errore di segmentazione
    speicherzugriffsfehler | erreur de segmentation | ошибка сегментирования | violación de segmento
    segmentacijska greška | falha de segmentação | kerusakan segmentasi | falta de segmentação
    неуспех сегментације | violació de segment | muistialueen ylitys | segmentavimo klaida | napaka segmentacije
    помилка адресування | szegmentálási hiba | fallo de segmento | minnesegmentsfeil | chyba segmentácie
    parçalama arızası | segmenteringsfel | збой сэгмэнтацыі | segmentatiefout | セグメンテーションフォルト
    lỗi phân đoạn | segmentfejl | adres-eraro | 程式記憶體區段錯誤 | 세그멘테이션 오류 | 세그멘테이션 폴트 | 段错误
    段錯誤
    """
)
ILLEGAL_INSTRUCTION = _each(
    """
    nedovolená instrukce (sigill) | ulovlig instruktion (sigill) | ulovlig instruksjon (sigill)
    недапушчальнае прадпісаньне | la instrucció no és permesa | ungültiger maschinenbefehl
    istruzione non consentita | instrucción non permitida | netaisyklinga instrukcija | instruction non permise
    недопустимая инструкция | nepropisna instrukcija | neprípustná inštrukcia | неисправна инструкција
    otillåten instruktion | instruksi tidak legal | chỉ lệnh không hợp lệ | instruction illégale
    ongeldige instructie | незаконна инструкция | érvénytelen utasítás | помилкова інструкція | istruzione illegale
    instrucción ilegal | virheellinen käsky | błędna instrukcja | ακατάλληλη εντολή | yönerge kuraldışı
    instrução ilegal | nedovoljen ukaz | miskomando | 명령어가 잘못됨 | 不正な命令 | 非法指令 | 無效指令
    """
)
BUS_ERROR = _each(
    """
    chyba na sběrnici (neplatná adresa) (sigbus) | помилка каналу обміну даними | грешка на адресната шина
    σφάλμα στον δίαυλο(bus) | erro no bus de datos | bus-zugriffsfehler | magistralės klaida | erro no barramento
    sabirnička greška | chyba na zbernici | грешка сабирнице | veri yolu hatası | error del bus | erreur du bus
    errore di bus | napaka vodila | памылка шыны | error de bus | erro de bus | ошибка шины | väylävirhe
    błąd szyny | bus-eraro | busz hiba | bussfeil | busfejl | busfout | bussfel | lỗi bus | バスエラー | 버스 오류
    匯流排錯誤 | 总线错误
    """
)
ABORTED = _each(
    """
    neúspěšně ukončen (sigabrt) | nutraukta (aborted) | avbruten (sigabrt) | afbrudt (sigabrt) | avbrutt (sigabrt)
    аварийный останов | félbeszakítva | ptal edildi | abgebrochen | keskeytetty | dibatalkan | afgebroken
    прекъснат | ακυρώθηκε | annullato | przerwane | prekinjen | прекинуто | перервано | bị hủy bỏ | abortita
    abortado | avortat | abandon | zrušené | prekid | 중지됨 | 已放弃 | 中止
    """
)
KILLED = _each(
    """
    безусловно прекъснат | terminado (killed) | nutraukta (killed) | processus arrêté | süreç durduruldu
    bị buộc kết thúc | zabit (sigkill) | geëlimineerd | unicestwiony | σκοτώθηκε | terbunuh | getötet | tapettu
    забіты | buĉita | matado | ubijen | kilőve | ucciso | zabitý | убијен | matat | dræbt | drept | morto | убито
    pobit | dödad | вбито | 強制終了 | 強制結束 | 죽었음 | 已杀死
    """
)
